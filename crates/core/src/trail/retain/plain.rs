//! What a retirement asks of every line, read where the trail writes it. Most lines are read no further; one that is not
//! written that way, or of which something needs decoding, is parsed.

use trailseal_event::filter::Filter;
use trailseal_event::line::parse_front;
use trailseal_event::{Category, Event};

use crate::retire::RetiredId;
use crate::trail::recording::ids::Ids;

/// The beginning of a line that is not the trail's own.
struct Plain<'a> {
    id: &'a str,
    tenant: Option<&'a str>,
    category: &'a str,
}

impl<'a> Plain<'a> {
    fn of(line: &'a [u8]) -> Option<Plain<'a>> {
        let front = parse_front(line).filter(|front| !front.system)?;
        let (id, rest) = text(line.get(front.rest_offset..)?.strip_prefix(b"\"id\":\"")?)?;
        let (_, rest) = text(rest.strip_prefix(b",\"time\":\"")?)?;
        let (tenant, rest) = match rest.strip_prefix(b",\"tenant\":\"") {
            Some(rest) => text(rest).map(|(tenant, rest)| (Some(tenant), rest))?,
            None => (None, rest),
        };
        let (category, _) = text(rest.strip_prefix(b",\"category\":\"")?)?;
        Some(Plain { id, tenant, category })
    }
}

/// A text up to its end, unless it needs decoding; and what follows.
fn text(rest: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memchr2(b'"', b'\\', rest)?;
    let text = std::str::from_utf8(rest.get(..end)?).ok()?;
    (rest.get(end) == Some(&b'"')).then(|| Some((text, rest.get(end + 1..)?)))?
}

/// The hashes of an event's id; `None` for the trail's own events.
pub(super) fn id_of(line: &[u8]) -> Option<RetiredId> {
    if let Some(Plain { id, tenant, .. }) = Plain::of(line) {
        return Some(RetiredId::new(id, Ids::key(tenant, id)));
    }
    let recorded = Event::from_line(line).ok().filter(|recorded| !recorded.system)?;
    let id = recorded.event.id?;
    Some(RetiredId::new(&id, Ids::key(recorded.event.tenant.as_deref(), &id)))
}

/// Whether a rule selects a line: one that names tenants and categories, and nothing else.
pub(super) fn is_selected(rule: &Filter, line: &[u8]) -> bool {
    let Some(Plain { tenant, category, .. }) = Plain::of(line) else { return rule.accepts(line) };
    let Some(category) = Category::parse(category) else { return rule.accepts(line) };
    (rule.tenant.is_empty() || tenant.is_some_and(|tenant| rule.tenant.iter().any(|wanted| wanted == tenant)))
        && (rule.category.is_empty() || rule.category.contains(&category))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const FRONT: &str = r#"{"v":1,"index":7,"recorded":"2026-01-02T03:04:05.000006Z","#;
    const TIME: &str = r#""time":"2026-01-02T03:04:05.000006Z""#;

    /// Lines, each with whether it is read the short way.
    fn lines() -> Vec<(String, bool)> {
        let end = r#""severity":"info","action":"x"}"#;
        [
            (format!(r#""id":"a",{TIME},"tenant":"t","category":"admin",{end}"#), true),
            (format!(r#""id":"a",{TIME},"tenant":"u","category":"custom:x",{end}"#), true),
            (format!(r#""id":"a",{TIME},"category":"admin",{end}"#), true),
            (format!(r#""id":"a\n",{TIME},"category":"admin",{end}"#), false),
            (format!(r#""id":"a",{TIME},"tenant":"\"","category":"admin",{end}"#), false),
            (format!(r#""id":"a",{TIME},"tenant":"\u0074","category":"admin",{end}"#), false),
            (format!(r#""tenant":"t",{TIME},"id":"a","category":"admin",{end}"#), false),
        ]
        .map(|(rest, is_short)| (format!("{FRONT}{rest}"), is_short))
        .into()
    }

    #[test]
    fn the_short_way_to_an_id_is_that_of_the_long_one() {
        for (line, is_short) in lines() {
            let recorded = Event::from_line(line.as_bytes()).unwrap();
            let id = recorded.event.id.unwrap();
            let long = RetiredId::new(&id, Ids::key(recorded.event.tenant.as_deref(), &id));
            assert_eq!(Plain::of(line.as_bytes()).is_some(), is_short, "{line}");
            assert_eq!(id_of(line.as_bytes()), Some(long), "{line}");
        }
        let own = format!(r#"{FRONT}"system":true,"id":"a",{TIME},"category":"system","action":"x"}}"#);
        assert_eq!(id_of(own.as_bytes()), None);
    }

    #[test]
    fn the_short_way_to_what_a_rule_selects_is_that_of_the_long_one() {
        for tenant in [vec![], vec!["t"], vec!["\"", "u"]] {
            for category in [vec![], vec!["admin"], vec!["step", "custom:x"]] {
                let rule = Filter {
                    tenant: tenant.iter().map(|tenant| (*tenant).to_owned()).collect(),
                    category: category.iter().map(|name| Category::parse(name).unwrap()).collect(),
                    system: true,
                    ..Filter::default()
                };
                for (line, _) in lines() {
                    assert_eq!(
                        is_selected(&rule, line.as_bytes()),
                        rule.accepts(line.as_bytes()),
                        "{line} {rule:?}"
                    );
                }
            }
        }
    }
}
