//! Turns a record into an event.

mod candidates;

use trailseal_event::{Event, Number, Object, Outcome, Resource, Timestamp, Value};

use super::fields::{Field, TEXTS, Word, unit_millis};
use super::path::{Lookup, Path};
use super::{Candidate, Candidates, Mapping, RelatedRule, ResourceRule, Rule};
use crate::json_tree::{Item, Owned};

/// The action of a record that gives none.
const ACTION_UNKNOWN: &str = "unknown";

/// A record that becomes many events has at most this many bytes in all of them.
const SPLIT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Where an event's details have the record.
pub(crate) const RECORD: &str = "record";

/// Whether these were set matters, whatever refers to them.
const ALWAYS_NAMED: [&str; 4] = ["action", "outcome", "category", "severity"];

/// At most this many entries of a list become resources; the record has them all.
const RELATED_MAX: usize = 100;

impl Mapping {
    /// Whether `record` has what tells this format from others.
    pub(crate) fn detects(&self, record: Item<'_>) -> bool {
        self.detected_by(record).is_some()
    }

    /// The paths that tell this format from others, if `record` has them.
    pub(crate) fn detected_by(&self, record: Item<'_>) -> Option<Vec<String>> {
        let fill = Fill::new(self, record, None);
        let rule = self.detect.iter().find(|when| fill.hold(when))?;
        Some(rule.iter().map(|condition| condition.value.to_string()).collect())
    }

    /// Whether `record` is one by itself, rather than something that has records in it.
    pub(crate) fn knows(&self, record: Item<'_>) -> bool {
        let has_entries =
            self.each.as_ref().is_some_and(|each| Lookup::new(record).place(&each.keys()).is_some());
        if has_entries || self.detects(record) {
            return true;
        }
        let mut fill = Fill::new(self, record, None);
        fill.lets();
        let action = self.fields.iter().find(|(field, _)| *field == Field::Action);
        // An action that the mapping always gives says nothing of the record.
        action.is_some_and(|(_, candidates)| {
            let own = candidates.iter().filter(|candidate| !matches!(candidate, Candidate::Constant(_)));
            own.into_iter().any(|candidate| fill.candidate(candidate, &mut Some).is_some())
        })
    }

    /// The fields that the mapping asks for, and where it looks for each.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.fields.iter().map(|(field, candidates)| {
            let looked_at: Vec<String> = candidates.iter().map(Candidate::to_string).collect();
            (field.name(), looked_at.join(", "))
        })
    }

    /// The places, among [`Mapping::asked`], of the fields that `record` does not give.
    pub(crate) fn not_found_in(&self, record: Item<'_>, written: Option<Timestamp>) -> Vec<usize> {
        let mut fill = Fill::new(self, record, None);
        fill.lets();
        let is_found = |(field, candidates): &(Field, Candidates)| match field {
            Field::Time => fill.first(candidates, |text| self.times.read(&text, written)).is_some(),
            _ => fill.value(candidates).is_some(),
        };
        (0..self.fields.len()).filter(|&at| !is_found(&self.fields[at])).collect()
    }

    /// The event that `record` describes, without an id.
    ///
    /// A record without an action gets `unknown`. One without a readable time gets none, so that it takes the time of
    /// recording. Both are listed in `details._import.defaulted`. The whole record, whatever was mapped from it, is at
    /// `details.record`; its own id is at `details._import.source_id`.
    pub fn apply(&self, record: Value) -> Event {
        let owned = Owned::of(&record);
        self.whole(record, owned.root(), None, None)
    }

    /// The id that the record's event has, where the mapping says that the record's own is unique, and it is a UUID.
    pub(crate) fn event_id(&self, record: Item<'_>) -> Option<String> {
        if self.event_id.is_empty() {
            return None;
        }
        let id = Fill::new(self, record, None).text(&self.event_id, "")?;
        is_uuid(&id).then(|| id.to_ascii_lowercase())
    }

    /// Adds the events that `record`, which is also `root`, describes, without ids. `text` is how it was written, if that
    /// says more; `written` when the input was, for times without a year. The error is for people.
    pub(crate) fn events(
        &self,
        mut record: Value,
        root: Item<'_>,
        text: Option<&str>,
        written: Option<Timestamp>,
        events: &mut Vec<Event>,
    ) -> Result<(), String> {
        let has_several = |list: &&mut Vec<Value>| list.len() > 1;
        let keys = self.each.as_ref().map(Path::keys).unwrap_or_default();
        let list = self.has_each().then(|| list_at(&mut record, &keys)).flatten().filter(has_several);
        let Some(entries) = list.map(std::mem::take) else {
            events.push(self.whole(record, root, text, written));
            return Ok(());
        };
        let rest_bytes = record.to_string().len() + text.map_or(0, str::len);
        if entries.len().saturating_mul(rest_bytes) > SPLIT_BYTES_MAX {
            return Err(format!(
                "its list of {} events, each with the rest of the record, is too long: split it before the import",
                entries.len()
            ));
        }
        for entry in entries {
            let mut one = record.clone();
            if let Some(list) = list_at(&mut one, &keys) {
                list.push(entry);
            }
            let owned = Owned::of(&one);
            events.push(self.whole(one, owned.root(), text, written));
        }
        Ok(())
    }

    /// Whether a record may give several events.
    pub(crate) fn has_each(&self) -> bool {
        self.each.is_some()
    }

    fn whole(&self, record: Value, root: Item<'_>, text: Option<&str>, written: Option<Timestamp>) -> Event {
        let mut event = self.without_record(root, text, written);
        event.details.insert(RECORD, record);
        event
    }

    /// The one event that a record describes, without an id, and without the record itself.
    pub(crate) fn without_record(
        &self,
        record: Item<'_>,
        text: Option<&str>,
        written: Option<Timestamp>,
    ) -> Event {
        let mut event = Event::default();
        let mut fill = Fill::new(self, record, written);
        fill.all(&mut event);
        event.details = fill.details(&event, text);
        event
    }
}

/// The list at these keys.
fn list_at<'v>(value: &'v mut Value, keys: &[&str]) -> Option<&'v mut Vec<Value>> {
    let mut value = value;
    for key in keys {
        let object = value.as_object_mut()?;
        let known = object.iter().map(|(known, _)| known).find(|known| known == key);
        let known = known
            .or_else(|| object.iter().map(|(known, _)| known).find(|known| known.eq_ignore_ascii_case(key)));
        let known = known?.to_owned();
        value = object.get_mut(&known)?;
    }
    if let Value::Array(list) = value { Some(list) } else { None }
}

/// One record that is becoming an event.
struct Fill<'m, 'r> {
    mapping: &'m Mapping,
    lookup: Lookup<'r>,
    /// What `$NAME` refers to so far.
    names: Vec<(&'m str, String)>,
    written: Option<Timestamp>,
    /// The text of a time that is none.
    unreadable: Option<String>,
}

impl<'m, 'r> Fill<'m, 'r> {
    fn new(mapping: &'m Mapping, record: Item<'r>, written: Option<Timestamp>) -> Self {
        let keys = mapping.each.as_ref().map(Path::keys);
        let entry = keys.and_then(|keys| {
            let list = Lookup::new(record).place(&keys)?;
            list.is_array().then(|| list.inside().next())?
        });
        let lookup = Lookup::with_entry(record, entry);
        Fill { mapping, lookup, names: Vec::new(), written, unreadable: None }
    }

    fn lets(&mut self) {
        for (name, candidates) in &self.mapping.lets {
            if let Some(text) = self.text(candidates, name) {
                self.names.push((name, text));
            }
        }
    }

    fn all(&mut self, event: &mut Event) {
        let mapping = self.mapping;
        self.lets();
        for (field, candidates) in &mapping.fields {
            self.field(event, *field, candidates);
        }
        if event.action.is_empty() {
            ACTION_UNKNOWN.clone_into(&mut event.action);
        }
        self.resources(event);
        if !self.was_set("outcome") {
            event.outcome = self.rules(&mapping.outcomes).or(event.outcome);
            // Nothing is invented that the record does not say.
            if let Some(outcome) = event.outcome {
                self.name("outcome", &outcome.word());
            }
        }
        // What a source says of a success, such as `Connection succeeded`, is no error. The record keeps it.
        if event.outcome == Some(Outcome::Success) && !cfg!(trailseal_fault = "error_of_success") {
            event.error = None;
        }
        if !self.was_set("category") {
            event.category = self.rules(&mapping.categories).unwrap_or_default();
            self.name("category", &event.category.word());
        }
        if !self.was_set("severity") {
            event.severity = self.rules(&mapping.severities).unwrap_or_default();
            self.name("severity", &event.severity.word());
        }
    }

    fn field(&mut self, event: &mut Event, field: Field, candidates: &Candidates) {
        let name = field.name();
        match field {
            Field::Time => {
                let mut unreadable = None;
                event.time = self.first(candidates, |text| {
                    let time = self.mapping.times.read(&text, self.written);
                    if time.is_none() {
                        unreadable.get_or_insert(text);
                    }
                    time
                });
                self.unreadable = unreadable.filter(|_| event.time.is_none());
            }
            Field::Outcome => self.outcome(event, candidates),
            Field::Category => event.category = self.word(candidates, name).unwrap_or_default(),
            Field::Severity => event.severity = self.word(candidates, name).unwrap_or_default(),
            Field::Before => event.before = self.value(candidates),
            Field::After => event.after = self.value(candidates),
            Field::Changes => event.changes = self.value(candidates),
            Field::Approval => event.approval = self.value(candidates),
            Field::Roles => {
                let exchanged = |role| self.mapping.exchanged(role, name);
                let roles: Vec<String> = self.texts(candidates).into_iter().map(exchanged).collect();
                if !roles.is_empty() {
                    event.actor.get_or_insert_default().roles = roles;
                }
            }
            Field::Duration => event.duration_ms = self.first(candidates, |text| number(&text)),
            Field::Action | Field::Text(_) => {
                let Some(text) = self.text(candidates, name) else { return };
                self.name(name, &text);
                match field {
                    Field::Text(at) => *TEXTS[at].1(event) = Some(text),
                    _ => event.action = text,
                }
            }
        }
    }

    /// A word that is present but not understood is `unknown`, unless a rule says more.
    fn outcome(&mut self, event: &mut Event, candidates: &Candidates) {
        event.outcome = self.word(candidates, "outcome");
        if event.outcome.is_none() && self.text(candidates, "outcome").is_some() {
            event.outcome = Some(Outcome::Unknown);
        }
    }

    fn word<T: Word>(&mut self, candidates: &Candidates, name: &'static str) -> Option<T> {
        let mapping = self.mapping;
        let found = self.first(candidates, |text| T::from_word(&mapping.exchanged(text, name)))?;
        self.name(name, &found.word());
        Some(found)
    }

    /// The result of the first rule that holds.
    fn rules<T: Word>(&self, rules: &[Rule<T>]) -> Option<T> {
        rules.iter().find(|rule| self.hold(&rule.when)).map(|rule| rule.is.clone())
    }

    fn resources(&mut self, event: &mut Event) {
        let mapping = self.mapping;
        if event.resource.is_none() {
            let found = mapping.resources.iter().filter(|rule| self.hold(&rule.when));
            event.resource = found.into_iter().find_map(|rule| self.resource(rule));
        }
        let parts =
            event.resource.as_ref().map(|main| [("resource.type", &main.kind), ("resource.id", &main.id)]);
        for (name, text) in parts.into_iter().flatten() {
            if let Some(text) = text {
                self.name(name, text);
            }
        }
        for rule in &mapping.related {
            self.related(rule, event);
        }
    }

    fn resource(&self, rule: &ResourceRule) -> Option<Resource> {
        let (id, name) = (self.text(&rule.id, ""), self.text(&rule.name, ""));
        if id.is_none() && name.is_none() {
            return None;
        }
        let mut resource = Resource::default();
        (resource.kind, resource.id, resource.name) = (self.text(&rule.kind, "resource.type"), id, name);
        Some(resource)
    }

    fn related(&self, rule: &RelatedRule, event: &mut Event) {
        let mut found = Vec::new();
        self.lookup.find(&rule.each, |list| {
            for entry in list.is_array().then(|| list.inside().take(RELATED_MAX))? {
                let names = self.names.clone();
                let fill = Fill { names, ..Fill::new(self.mapping, entry, self.written) };
                found.extend(fill.resource(&rule.entry));
            }
            Some(())
        });
        // The main resource is not related to itself.
        let main_id = event.resource.as_ref().and_then(|main| main.id.clone());
        found.retain(|resource| resource.id.is_none() || resource.id != main_id);
        event.related.extend(found);
    }

    fn details(&self, event: &Event, text: Option<&str>) -> Object {
        let mut import = Object::default();
        import.insert("format", self.mapping.format.clone());
        if let Some(id) = self.text(&self.mapping.source_id, "") {
            import.insert("source_id", id);
        }
        let defaulted: Vec<Value> = [("action", !self.was_set("action")), ("time", event.time.is_none())]
            .iter()
            .filter(|(_, defaulted)| *defaulted)
            .map(|(name, _)| Value::String((*name).to_owned()))
            .collect();
        if !defaulted.is_empty() {
            import.insert("defaulted", Value::Array(defaulted));
        }
        if let Some(text) = &self.unreadable {
            import.insert("unreadable", [("time", text.as_str())].into_iter().collect::<Object>());
        }
        if let Some(text) = text {
            import.insert("text", text);
        }
        let mut details = Object::default();
        details.insert("_import", Value::Object(import));
        for (name, candidates) in &self.mapping.details {
            if let Some(value) = self.value(candidates) {
                details.insert(name.clone(), value);
            }
        }
        details
    }

    /// Lets rules refer to a text of the event, if any does.
    fn name(&mut self, name: &'m str, text: &str) {
        if ALWAYS_NAMED.contains(&name) || self.mapping.named.iter().any(|named| named == name) {
            self.names.push((name, text.to_owned()));
        }
    }

    fn was_set(&self, name: &str) -> bool {
        self.names.iter().any(|(known, _)| *known == name)
    }
}

/// A duration in milliseconds: a number, which keeps its text, or one with a unit behind.
fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    if let Ok(Value::Number(number)) = Value::parse(text.as_bytes()) {
        return Some(number);
    }
    let end = text.find(|char: char| char.is_alphabetic() || char == ' ')?;
    let millis = unit_millis(text[end..].trim())?;
    let count = text[..end].parse::<f64>().ok()?;
    Value::from(count * millis).as_number().cloned()
}

fn is_uuid(text: &str) -> bool {
    let is_good = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_good)
}
