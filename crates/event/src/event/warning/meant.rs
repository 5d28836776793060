//! Which known field an unknown name looks like: another spelling of one that belongs here, or the name of one that
//! belongs elsewhere.
//!
//! It is called for every unknown name in places that have known ones, on the fast path too, so it allocates nothing.
//! Names that many programs use for something of their own (`content`, `metadata`, `event_type`) match nothing.

/// Where a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Event,
    Actor,
    OnBehalfOf,
    Resource,
    Context,
}

/// Longer names match nothing.
const NAME_BYTES_MAX: usize = 24;

/// A name of so many letters with one mistake is hardly another word, apart from [those known](is_word_of_its_own).
const LONG: usize = 5;

/// Known names as they are compared, that is, only letters and digits, in lower case; with their paths.
type Known = [(&'static str, &'static str)];

const EVENT: &Known = &[
    ("id", "id"),
    ("time", "time"),
    ("tenant", "tenant"),
    ("category", "category"),
    ("action", "action"),
    ("description", "description"),
    ("severity", "severity"),
    ("outcome", "outcome"),
    ("error", "error"),
    ("actor", "actor"),
    ("onbehalfof", "on_behalf_of"),
    ("resource", "resource"),
    ("related", "related"),
    ("before", "before"),
    ("after", "after"),
    ("changes", "changes"),
    ("details", "details"),
    ("context", "context"),
    ("durationms", "duration_ms"),
    ("approval", "approval"),
];
const ACTOR: &Known = &[
    ("id", "actor.id"),
    ("type", "actor.type"),
    ("name", "actor.name"),
    ("email", "actor.email"),
    ("roles", "actor.roles"),
];
const ON_BEHALF_OF: &Known = &[("id", "on_behalf_of.id"), ("reason", "on_behalf_of.reason")];
const RESOURCE: &Known = &[("type", "resource.type"), ("id", "resource.id"), ("name", "resource.name")];
const CONTEXT: &Known = &[
    ("ip", "context.ip"),
    ("useragent", "context.user_agent"),
    ("requestid", "context.request_id"),
    ("correlationid", "context.correlation_id"),
    ("sessionid", "context.session_id"),
    ("traceid", "context.trace_id"),
    ("spanid", "context.span_id"),
    ("component", "context.component"),
    ("service", "context.service"),
    ("version", "context.version"),
    ("host", "context.host"),
];

/// The parts by the names of their fields at the top.
const PARTS: [(&str, &Known); 4] =
    [("onbehalfof", ON_BEHALF_OF), ("resource", RESOURCE), ("context", CONTEXT), ("actor", ACTOR)];

/// The path of the known field that an unknown name in this place looks like.
pub(crate) fn meant(place: Place, name: &str) -> Option<&'static str> {
    let mut room = [0; NAME_BYTES_MAX];
    let word = plain(name, &mut room)?;
    let spelled =
        known_at(place).iter().find(|(name, _)| is_spelled(word, name.as_bytes())).map(|(_, path)| *path);
    spelled.or_else(|| of_part(word)).or_else(|| other_name(place, word))
}

/// The same, and also a field of the event that was put into a part of it, where it has no meaning of its own. Who names such a path
/// on purpose, as a rule for personal values does, means it.
pub(crate) fn misplaced(place: Place, name: &str) -> Option<&'static str> {
    meant(place, name).or_else(|| {
        let mut room = [0; NAME_BYTES_MAX];
        of_event(place, plain(name, &mut room)?)
    })
}

/// The known field of this place that a name is a wrong spelling of, for names that somebody writes once, as in a policy:
/// there a short one with a mistake counts, too.
pub(crate) fn misspelled(place: Place, name: &str) -> Option<&'static str> {
    let mut room = [0; NAME_BYTES_MAX];
    let word = plain(name, &mut room)?;
    let is_near = |name: &[u8]| is_spelled(word, name) || is_short_mistake(word, name);
    known_at(place).iter().find(|(name, _)| is_near(name.as_bytes())).map(|(_, path)| *path)
}

fn known_at(place: Place) -> &'static Known {
    match place {
        Place::Event => EVENT,
        Place::Actor => ACTOR,
        Place::OnBehalfOf => ON_BEHALF_OF,
        Place::Resource => RESOURCE,
        Place::Context => CONTEXT,
    }
}

/// Letters and digits of a name in lower case; `None` if it cannot be a known one.
fn plain<'a>(name: &str, room: &'a mut [u8; NAME_BYTES_MAX]) -> Option<&'a [u8]> {
    let mut len = 0;
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                *room.get_mut(len)? = byte.to_ascii_lowercase();
                len += 1;
            }
            b'_' | b'-' | b'.' | b' ' | b'@' | b'$' | b':' | b'/' => {}
            _ => return None,
        }
    }
    (len > 0).then(|| &room[..len])
}

/// Whether it is the name, its plural or singular, or a long name with one mistake.
fn is_spelled(word: &[u8], name: &[u8]) -> bool {
    let is_plural = |one: &[u8], many: &[u8]| many.strip_suffix(b"s") == Some(one) && one.len() >= 5;
    word == name
        || is_plural(name, word)
        || is_plural(word, name)
        || (name.len() >= LONG && is_one_mistake(word, name) && !is_word_of_its_own(word))
}

/// Whether it is a name of four letters with one mistake. One with another letter is another word: `cost` is no `host`.
fn is_short_mistake(word: &[u8], name: &[u8]) -> bool {
    let letters_that_differ = || word.iter().zip(name).filter(|(one, other)| one != other).count();
    (4..LONG).contains(&name.len())
        && is_one_mistake(word, name)
        && !(word.len() == name.len() && letters_that_differ() == 1)
}

/// Words that are one letter away from a known name but mean something else.
fn is_word_of_its_own(word: &[u8]) -> bool {
    matches!(
        word,
        b"content"
            | b"contest"
            | b"charges"
            | b"chances"
            | b"changed"
            | b"traced"
            | b"requested"
            | b"factor"
            | b"auction"
            | b"faction"
            | b"alter"
            | b"rafter"
            | b"terror"
            | b"season"
            | b"treason"
            | b"rules"
            | b"holes"
            | b"poles"
    )
}

/// Whether one letter is missing, extra or different, or two are swapped.
fn is_one_mistake(one: &[u8], other: &[u8]) -> bool {
    if one.len().abs_diff(other.len()) > 1 {
        return false;
    }
    let front = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[front..], &other[front..]);
    let back = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&one[..one.len() - back], &other[..other.len() - back]) {
        ([], [_]) | ([_], []) | ([_], [_]) => true,
        ([a, b], [c, d]) => (a, b) == (d, c),
        _ => false,
    }
}

/// The field of a part that is named in one word with it, such as `actor_id` and `context.ip`.
fn of_part(word: &[u8]) -> Option<&'static str> {
    PARTS.iter().find_map(|(part, known)| {
        let rest = word.strip_prefix(part.as_bytes())?;
        known.iter().find(|(name, _)| name.as_bytes() == rest).map(|(_, path)| *path)
    })
}

/// The field that other formats call by this name.
fn other_name(place: Place, word: &[u8]) -> Option<&'static str> {
    match (place, word) {
        (Place::Event | Place::Actor | Place::Resource | Place::Context, _) if of_context(word).is_some() => {
            of_context(word)
        }
        (Place::Event, b"component" | b"service" | b"version" | b"host") => {
            CONTEXT.iter().find(|(name, _)| name.as_bytes() == word).map(|(_, path)| *path)
        }
        (Place::Event | Place::Context, b"servicename") => Some("context.service"),
        (Place::Event | Place::Context, b"hostname") => Some("context.host"),
        (Place::Event, _) => at_top(word),
        (Place::Context, b"user" | b"userid" | b"username") => Some("actor.id"),
        (Place::Actor, b"user" | b"userid" | b"uid") => Some("actor.id"),
        (Place::Actor, b"username" | b"displayname" | b"fullname") => Some("actor.name"),
        (Place::Actor, b"mail" | b"emailaddress" | b"useremail") => Some("actor.email"),
        (Place::Actor, b"role" | b"groups") => Some("actor.roles"),
        (Place::Actor, b"kind" | b"usertype") => Some("actor.type"),
        (Place::OnBehalfOf, b"user" | b"userid" | b"uid") => Some("on_behalf_of.id"),
        (Place::Resource, b"kind") => Some("resource.type"),
        (_, b"tenant" | b"tenantid") => Some("tenant"),
        _ => None,
    }
}

/// The field of the event, or of its actor, that was put into a part of it. In the context, which has texts about the request and
/// nothing else, none but an id means something of its own; elsewhere many do, such as the category of a resource.
fn of_event(place: Place, word: &[u8]) -> Option<&'static str> {
    let is_moved = match (place, word) {
        (Place::Event, _) | (Place::Context, b"id") => false,
        (Place::Context, b"email") => return Some("actor.email"),
        (Place::Context, b"roles") => return Some("actor.roles"),
        (Place::Context, _) => true,
        (Place::OnBehalfOf, _) if of_context(word).is_some() => return of_context(word),
        (Place::Actor | Place::OnBehalfOf, b"resource" | b"context" | b"severity") => true,
        (_, b"outcome" | b"onbehalfof" | b"related" | b"before" | b"after" | b"durationms") => true,
        _ => false,
    };
    EVENT.iter().find(|(name, _)| is_moved && name.as_bytes() == word).map(|(_, path)| *path)
}

/// Other names for where an event came from, in any place.
fn of_context(word: &[u8]) -> Option<&'static str> {
    Some(match word {
        b"ip" | b"ipaddress" | b"ipaddr" | b"clientip" | b"sourceip" | b"srcip" | b"remoteip"
        | b"remoteaddr" | b"remoteaddress" | b"userip" | b"actorip" => "context.ip",
        b"useragent" | b"ua" => "context.user_agent",
        b"requestid" | b"reqid" | b"xrequestid" => "context.request_id",
        b"correlationid" | b"xcorrelationid" => "context.correlation_id",
        b"sessionid" => "context.session_id",
        b"traceid" => "context.trace_id",
        b"spanid" => "context.span_id",
        _ => return None,
    })
}

/// Other names of an event's own fields.
fn at_top(word: &[u8]) -> Option<&'static str> {
    Some(match word {
        b"timestamp" | b"ts" | b"datetime" | b"eventtime" | b"occurredat" | b"happenedat" | b"createdat" => {
            "time"
        }
        b"tenantid" | b"orgid" | b"organizationid" | b"organisationid" => "tenant",
        b"message" | b"msg" | b"desc" => "description",
        b"level" | b"loglevel" => "severity",
        b"result" | b"status" | b"success" => "outcome",
        b"err" | b"errormessage" | b"errormsg" | b"reason" => "error",
        b"user" | b"userid" | b"uid" | b"principal" | b"subject" | b"performedby" => "actor.id",
        b"username" => "actor.name",
        b"email" | b"useremail" => "actor.email",
        b"roles" | b"userroles" => "actor.roles",
        b"usertype" => "actor.type",
        b"type" => "actor.type or resource.type",
        b"name" => "actor.name or resource.name",
        b"target" | b"object" | b"entity" => "resource",
        b"targetid" | b"objectid" | b"entityid" => "resource.id",
        b"targettype" | b"objecttype" | b"entitytype" => "resource.type",
        b"targetname" | b"objectname" | b"entityname" => "resource.name",
        b"old" | b"oldvalue" | b"oldvalues" | b"previous" => "before",
        b"new" | b"newvalue" | b"newvalues" => "after",
        b"diff" => "changes",
        b"duration" | b"elapsed" | b"elapsedms" | b"latencyms" => "duration_ms",
        _ => return None,
    })
}
