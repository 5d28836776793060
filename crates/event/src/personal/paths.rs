//! The paths of all rules, followed side by side.
//!
//! One bit for each field of a rule; a step to a key keeps the bits of those that continue with it. What must hold: a
//! value that a field names is found also where it does not stand in its own place: in `changes`, among the rejected
//! values, and in a text that represents a part which was cut.

use super::json::Pointer;
use super::rule::PersonalRule;
use crate::event::INVALID;

/// Members of an entry of changes: they hold the value of the key above them.
const SIDES: [&str; 9] = ["before", "after", "from", "to", "old", "new", "previous", "current", "value"];

/// The event's own objects, but for `changes`, whose keys are paths.
const OBJECTS: [&str; 7] = ["actor", "on_behalf_of", "resource", "before", "after", "details", "context"];

/// The fields of all rules.
pub(super) struct Paths {
    pub(super) fields: Vec<Field>,
    /// What stands at each place of the paths.
    levels: Vec<Level>,
    /// By length: the fields with so many parts.
    ending: Vec<u128>,
    /// Those of `before` and `after`.
    of_states: u128,
    /// The event's own objects in which fields name nothing but members, each by its key.
    pub(super) flat: Vec<Flat>,
}

/// One of the event's own objects, and the members of it that are named.
pub(super) struct Flat {
    pub(super) key: &'static str,
    pub(super) members: Vec<FlatMember>,
}

#[derive(Clone)]
pub(super) struct FlatMember {
    pub(super) key: String,
    /// Its place as a JSON Pointer.
    pub(super) pointer: String,
    /// The first field that names it.
    pub(super) field: usize,
}

/// One field of a rule.
pub(super) struct Field {
    pub(super) parts: Vec<String>,
    /// Which rule.
    pub(super) rule: usize,
    pub(super) subject: Subject,
    pub(super) is_searchable: bool,
}

/// Where a person's id stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) parts: Vec<String>,
    pub(super) has_wildcard: bool,
}

#[derive(Default)]
struct Level {
    named: Vec<(String, u128)>,
    any: u128,
}

/// How far a path is followed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Followed {
    /// The fields that begin like it, and how many of their parts are taken.
    fields: u128,
    taken: usize,
    /// The same without one name of a side, in `changes`.
    without_side: u128,
    is_in_changes: bool,
}

impl Paths {
    pub(super) fn new(rules: &[PersonalRule]) -> Paths {
        let mut fields = Vec::new();
        for (rule, personal) in rules.iter().enumerate() {
            let parts: Vec<String> = personal.subject.split('.').map(str::to_owned).collect();
            let has_wildcard = parts.iter().any(|part| part == "*");
            let subject = Subject { parts, has_wildcard };
            for field in &personal.fields {
                let parts = field.split('.').map(str::to_owned).collect();
                let (subject, is_searchable) = (subject.clone(), personal.searchable);
                fields.push(Field { parts, rule, subject, is_searchable });
            }
        }
        fields.truncate(super::rule::PERSONAL_FIELDS_MAX);
        let depth = fields.iter().map(|field| field.parts.len()).max().unwrap_or(0);
        let mut levels: Vec<Level> = (0..depth).map(|_| Level::default()).collect();
        let (mut ending, mut of_states) = (vec![0; depth + 1], 0);
        for (place, field) in fields.iter().enumerate() {
            let bit = 1u128 << place;
            for (level, part) in levels.iter_mut().zip(&field.parts) {
                match level.named.iter_mut().find(|(name, _)| name == part) {
                    _ if part == "*" => level.any |= bit,
                    Some((_, bits)) => *bits |= bit,
                    None => level.named.push((part.clone(), bit)),
                }
            }
            ending[field.parts.len()] |= bit;
            if matches!(&*field.parts[0], "before" | "after") {
                of_states |= bit;
            }
        }
        let flat = OBJECTS.iter().filter_map(|key| Flat::new(key, &fields)).collect();
        Paths { fields, levels, ending, of_states, flat }
    }

    /// Nothing is followed yet.
    pub(super) fn begin(&self) -> Followed {
        Followed { fields: u128::MAX, ..Followed::default() }
    }

    /// From a path to what has this key below it. A key with dots counts as several.
    pub(super) fn step(&self, from: Followed, key: &str) -> Followed {
        if from.taken == 0 && key == "changes" {
            // Their keys are paths in `before` and `after`; and they may be named themselves.
            let own = self.continuing(from.fields, 0, key.as_bytes());
            return Followed { fields: own | self.of_states, taken: 1, without_side: 0, is_in_changes: true };
        }
        if memchr::memchr(b'.', key.as_bytes()).is_none() {
            return self.one_step(from, key.as_bytes());
        }
        let key = if from.is_in_changes { key.replace('\\', "") } else { key.to_owned() };
        key.split('.').fold(from, |from, part| self.one_step(from, part.as_bytes()))
    }

    /// The same for a key without dots. Whoever is at the event's own members must not ask for `changes`.
    #[inline]
    fn one_step(&self, from: Followed, part: &[u8]) -> Followed {
        let mut without_side = 0;
        if from.is_in_changes {
            if let Some(taken) = from.taken.checked_sub(1) {
                without_side = self.continuing(from.without_side, taken, part);
            }
            if SIDES.iter().any(|side| side.as_bytes() == part) {
                without_side |= from.fields;
            }
        }
        let fields = self.continuing(from.fields, from.taken, part);
        Followed { fields, taken: from.taken + 1, without_side, ..from }
    }

    /// Whether no field that was followed so far goes on with this key, which has no dots: the same as one step, and quick.
    #[inline]
    pub(super) fn end_before(&self, from: &Followed, part: &[u8]) -> bool {
        if from.is_in_changes {
            return Self::is_over(self.one_step(*from, part));
        }
        let Some(level) = self.levels.get(from.taken) else { return true };
        // Mostly the length or the first byte differs already.
        let is_part = |name: &str| name.len() == part.len() && name.bytes().eq(part.iter().copied());
        level.any & from.fields == 0
            && !level.named.iter().any(|(name, bits)| is_part(name) && bits & from.fields != 0)
    }

    #[inline]
    fn continuing(&self, fields: u128, taken: usize, part: &[u8]) -> u128 {
        let Some(level) = self.levels.get(taken) else { return 0 };
        let is_part = |(name, _): &&(String, u128)| name.as_bytes() == part;
        let named = level.named.iter().find(is_part).map_or(0, |(_, bits)| *bits);
        fields & (level.any | named)
    }

    /// The first field that names what stands here.
    pub(super) fn named(&self, at: Followed) -> Option<usize> {
        let ending = |fields: u128, taken: usize| fields & self.ending.get(taken).copied().unwrap_or(0);
        let without_side = at.taken.checked_sub(1).map_or(0, |taken| ending(at.without_side, taken));
        first(ending(at.fields, at.taken) | without_side)
    }

    /// Whether no field names anything here or below.
    #[inline]
    fn is_over(at: Followed) -> bool {
        at.fields | at.without_side == 0
    }

    /// The first field that names something below here.
    pub(super) fn below(&self, at: Followed) -> Option<usize> {
        first(at.fields | at.without_side)
    }

    /// The field that may stand in a value kept at this path because of its wrong form, or that was cut: keys are joined
    /// by dots that may be part of them, positions in lists may stand between them, and the end may be missing.
    pub(super) fn may_be_at(&self, path: &str) -> Option<usize> {
        let path = path.rsplit_once(&format!("{INVALID}.")).map_or(path, |(_, path)| path);
        let path = crate::mask::without_count(path);
        let (path, is_cut) = path.strip_suffix('…').map_or((path, false), |path| (path, true));
        let is_place = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<String> = path
            .split('.')
            .map(|part| crate::mask::without_count(part).replace('\\', ""))
            .filter(|part| !matches!(&**part, "_cut" | INVALID))
            .collect();
        let kept = parts.len().saturating_sub(usize::from(is_cut));
        let parts = &parts[..kept];
        let is_of_changes = parts.first().is_some_and(|part| part == "changes");
        let without: Vec<&String> = parts.iter().filter(|part| !is_place(part)).collect();
        let meets = |named: &[String], parts: &mut dyn Iterator<Item = &String>| {
            named.iter().zip(parts).all(|(named, part)| named == "*" || named == part)
        };
        self.fields.iter().position(|field| {
            let is_of_state = is_of_changes && matches!(&*field.parts[0], "before" | "after");
            is_of_state
                || meets(&field.parts, &mut parts.iter())
                || meets(&field.parts, &mut without.iter().copied())
        })
    }
}

impl Flat {
    /// `None` if a field names all of the object, any of its members, or something below one.
    fn new(key: &'static str, fields: &[Field]) -> Option<Flat> {
        let mut members: Vec<FlatMember> = Vec::new();
        for (place, field) in fields.iter().enumerate().filter(|(_, field)| field.parts[0] == key) {
            let [_, member] = field.parts.as_slice() else { return None };
            let mut pointer = Pointer::default();
            pointer.key(key);
            pointer.key(member);
            if member == "*" || is_kind(pointer.text()) {
                return None;
            }
            if members.iter().all(|other| other.key != *member) {
                let pointer = pointer.text().to_owned();
                members.push(FlatMember { key: member.clone(), pointer, field: place });
            }
        }
        Some(Flat { key, members })
    }
}

impl Field {
    /// The path of this field's subject in an event where the field stands at `path`, whose keys are these.
    pub(super) fn subject_at(&self, path: &[String]) -> Vec<String> {
        if !self.subject.has_wildcard {
            return self.subject.parts.clone();
        }
        let is_same = |path: &[&String]| {
            path.len() >= self.parts.len()
                && self.parts.iter().zip(path).all(|(named, part)| named == "*" || named == *part)
        };
        let mut own: Vec<&String> = path.iter().collect();
        if path.first().is_some_and(|part| part == "changes") && self.parts[0] != "changes" {
            own[0] = &self.parts[0];
            let without = |place: usize| [&own[..place], &own[place + 1..]].concat();
            let forms = (1..own.len()).filter(|&place| SIDES.contains(&&**own[place])).map(without);
            if let Some(form) = std::iter::once(own.clone()).chain(forms).find(|form| is_same(form)) {
                own = form;
            }
        }
        let mut stood = self.parts.iter().zip(&own).filter(|(named, _)| *named == "*").map(|(_, part)| *part);
        let bound = |part: &String| if part == "*" { stood.next().unwrap_or(part) } else { part }.clone();
        self.subject.parts.iter().map(bound).collect()
    }
}

fn first(fields: u128) -> Option<usize> {
    (fields != 0).then(|| fields.trailing_zeros() as usize)
}

/// Whether this is one of the event's own objects and lists, which stays one: what is in it is personal, each for
/// itself. `pointer` is a JSON Pointer.
pub(super) fn stays_container(pointer: &str) -> bool {
    match pointer {
        "/actor" | "/on_behalf_of" | "/resource" | "/related" | "/details" | "/context" | "/actor/roles" => {
            true
        }
        _ => pointer.strip_prefix("/related/").is_some_and(|place| !place.contains('/')),
    }
}

/// Whether the field at this pointer says what kind of thing something is.
pub(super) fn is_kind(pointer: &str) -> bool {
    match pointer {
        "/actor/type" | "/resource/type" => true,
        _ => {
            let related = pointer.strip_prefix("/related/").and_then(|rest| rest.split_once('/'));
            related.is_some_and(|(_, name)| name == "type")
        }
    }
}

/// Whether all of an object's keys are names of sides, as in an entry of derived changes.
pub(super) fn is_side(key: &str) -> bool {
    SIDES.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(fields: &[&str], subject: &str) -> Paths {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        Paths::new(&[PersonalRule { fields, subject: subject.into(), searchable: true }])
    }

    fn named(field: &str, path: &[&str]) -> bool {
        let paths = paths(&["own.other", field], "actor.id");
        let end = path.iter().try_fold(paths.begin(), |at, key| match paths.named(at) {
            Some(_) => Err(()),
            None => Ok(paths.step(at, key)),
        });
        end.map_or(true, |end| paths.named(end).is_some())
    }

    #[test]
    fn a_field_names_what_it_says_and_what_is_below() {
        assert!(named("actor.email", &["actor", "email"]) && !named("actor.email", &["actor", "name"]));
        assert!(named("details.*.mail", &["details", "a", "mail", "work"]));
        assert!(!named("details.*.mail", &["details", "mail"]));
        assert!(named("details.a.b", &["details", "a.b"]));
        assert!(named("related.*.name", &["related", "12", "name"]));
    }

    #[test]
    fn a_field_of_a_state_names_its_changes() {
        for path in [
            &["changes", "mail", "before"][..],
            &["changes", "mail", "after"],
            &["changes", "mail"],
            &["changes", "to", "mail"],
        ] {
            assert!(named("before.mail", path), "{path:?}");
        }
        assert!(named("after.a.mail", &["changes", "a.mail", "after"]));
        assert!(named("after.a.mail", &["changes", "a", "after", "mail"]));
        assert!(named("before.a.b", &["changes", r"a\.b", "before"]));
        assert!(!named("before.mail", &["changes", "male", "before"]));
        assert!(!named("details.mail", &["changes", "mail", "before"]));
        assert!(named("changes.mail", &["changes", "mail"]));
    }

    #[test]
    fn what_is_kept_elsewhere_is_found() {
        let may = |field: &str, path: &str| paths(&[field], "actor.id").may_be_at(path).is_some();
        for path in
            ["actor.email", "actor.email#2", "actor", "actor#2", "actor.0.email", "act…", "actor.em…", "…"]
        {
            assert!(may("actor.email", path), "{path}");
        }
        assert!(may("before.mail", "changes") && may("details.a.b", "details._cut"));
        assert!(may("details.a", "details._invalid.details.a"));
        assert!(!may("actor.email", "actor.name") && !may("actor.email", "context"));
    }

    #[test]
    fn a_subject_is_of_the_same_element() {
        let owned = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect::<Vec<_>>();
        let at = |field: &str, subject: &str, path: &[&str]| {
            paths(&[field], subject).fields[0].subject_at(&owned(path)).join(".")
        };
        assert_eq!(at("related.*.name", "related.*.id", &["related", "3", "name"]), "related.3.id");
        assert_eq!(at("actor.email", "actor.id", &["actor", "email"]), "actor.id");
        assert_eq!(at("before.*.mail", "before.*.id", &["changes", "7", "after", "mail"]), "before.7.id");
        assert_eq!(at("before.*.mail", "before.*.id", &["changes", "7", "mail", "after"]), "before.7.id");
    }
}
