//! The fields of a line as the trail writes it, in one pass over its bytes.
//!
//! Anything that the trail never writes, such as a repeated field, a value of another type or an unknown word, ends the
//! walk, and the line is parsed in full instead.

use std::borrow::Cow;

use crate::event::{Category, Outcome, Severity, Value};
use crate::line::parse_front;
use crate::timestamp::Timestamp;

use super::scan::{Scan, Token};
use super::searchable::{Fields, ResourceFields};

/// The fields; `None` if the line must be parsed in full.
pub(super) fn fields(line: &[u8]) -> Option<Fields<'_>> {
    let front = parse_front(line)?;
    let text = std::str::from_utf8(line).ok()?;
    let mut fields = Fields {
        time: front.recorded.as_micros(),
        system: front.system,
        category: Cow::Borrowed("custom:other"),
        ..Fields::default()
    };
    let mut scan = Scan::new(text, front.rest_offset);
    let mut seen = 0;
    loop {
        let key = plain_key(scan.key()?)?;
        if let Some(place) = field(&mut scan, key, &mut fields)? {
            once(&mut seen, place)?;
        }
        match scan.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    if !cfg!(trailseal_fault = "index_believes_times") {
        fields.time = fields.time.min(front.recorded.as_micros());
    }
    (scan.is_at_end() && !fields.action.is_empty()).then_some(fields)
}

/// Takes one field, and returns its number if the index knows it.
fn field<'a>(scan: &mut Scan<'a>, key: &str, fields: &mut Fields<'a>) -> Option<Option<u32>> {
    let place = match key {
        "id" => {
            fields.id = some(scan)?;
            if fields.id.as_deref() == Some("") {
                return None;
            }
            0
        }
        "time" => {
            fields.time = Timestamp::parse(&text(scan)?)?.as_micros();
            1
        }
        "tenant" => {
            fields.tenant = some(scan)?;
            2
        }
        "category" => {
            fields.category = text(scan)?;
            Category::parse(&fields.category)?;
            3
        }
        "action" => {
            fields.action = text(scan)?;
            4
        }
        "severity" => {
            fields.severity = Severity::parse(&text(scan)?)?;
            5
        }
        "outcome" => {
            fields.outcome = Some(Outcome::parse(&text(scan)?)?);
            6
        }
        "actor" => {
            actor(scan, fields)?;
            7
        }
        "on_behalf_of" => {
            let mut seen = 0;
            scan.object(|scan, key| match plain_key(key)? {
                "id" => {
                    fields.on_behalf_of = some(scan)?;
                    once(&mut seen, 0)
                }
                _ => scan.skip(),
            })?;
            8
        }
        "resource" => {
            fields.resource = resource(scan)?;
            9
        }
        "related" => {
            scan.array(|scan| {
                fields.related.push(resource(scan)?);
                Some(())
            })?;
            10
        }
        "context" => {
            context(scan, fields)?;
            11
        }
        _ => {
            scan.skip()?;
            return Some(None);
        }
    };
    Some(Some(place))
}

fn actor<'a>(scan: &mut Scan<'a>, fields: &mut Fields<'a>) -> Option<()> {
    let mut seen = 0;
    scan.object(|scan, key| {
        let (place, field) = match plain_key(key)? {
            "id" => (0, &mut fields.actor_id),
            "name" => (1, &mut fields.actor_name),
            _ => return scan.skip(),
        };
        *field = some(scan)?;
        once(&mut seen, place)
    })
}

fn resource<'a>(scan: &mut Scan<'a>) -> Option<ResourceFields<'a>> {
    let mut seen = 0;
    let mut resource = ResourceFields::default();
    scan.object(|scan, key| {
        let (place, field) = match plain_key(key)? {
            "type" => (0, &mut resource.kind),
            "id" => (1, &mut resource.id),
            "name" => (2, &mut resource.name),
            _ => return scan.skip(),
        };
        *field = some(scan)?;
        once(&mut seen, place)
    })?;
    Some(resource)
}

fn context<'a>(scan: &mut Scan<'a>, fields: &mut Fields<'a>) -> Option<()> {
    let mut seen = 0;
    scan.object(|scan, key| {
        let (place, field) = match plain_key(key)? {
            "ip" => (0, &mut fields.ip),
            "request_id" => (1, &mut fields.request_id),
            "correlation_id" => (2, &mut fields.correlation_id),
            "session_id" => (3, &mut fields.session_id),
            "trace_id" => (4, &mut fields.trace_id),
            _ => return scan.skip(),
        };
        *field = some(scan)?;
        once(&mut seen, place)
    })
}

/// A decoded key; one with escapes may be any name.
fn plain_key<'a>(key: Token<'a>) -> Option<&'a str> {
    (!key.is_escaped).then(|| key.inside())
}

/// Records that a field was seen, and refuses it the second time.
fn once(seen: &mut u32, place: u32) -> Option<()> {
    let bit = 1 << place;
    let is_first = *seen & bit == 0;
    *seen |= bit;
    is_first.then_some(())
}

fn some<'a>(scan: &mut Scan<'a>) -> Option<Option<Cow<'a, str>>> {
    text(scan).map(Some)
}

#[inline]
fn text<'a>(scan: &mut Scan<'a>) -> Option<Cow<'a, str>> {
    let token = scan.string()?;
    if token.is_escaped {
        return unescaped(token).map(Cow::Owned);
    }
    Some(Cow::Borrowed(token.inside()))
}

#[cold]
fn unescaped(token: Token<'_>) -> Option<String> {
    match Value::parse(token.quoted.as_bytes()).ok()? {
        Value::String(text) => Some(text),
        _ => None,
    }
}
