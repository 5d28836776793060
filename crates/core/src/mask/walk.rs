//! The slow way: an event is walked as a value, and every secret in it replaced.

use super::keys::Kind;
use super::paths::{self, Form};
use super::scan::is_access_key_id;
use super::{FIXED, Masker, Preset, ReplaceWith};
use crate::event::{Category, Event, Number, Object, Out, Resource, Value, write_changes};

/// The most bytes of a dotted path; of a longer one its beginning is listed.
const PATH_BYTES_MAX: usize = 512;

/// The names of fields that an event has of itself. A user's own keys may name them.
pub(super) const FIELD_NAMES: &[&str] = &[
    "tenant",
    "description",
    "error",
    "actor",
    "id",
    "type",
    "name",
    "email",
    "roles",
    "on_behalf_of",
    "reason",
    "resource",
    "related",
    "before",
    "after",
    "changes",
    "details",
    "approval",
    "ip",
    "user_agent",
    "request_id",
    "correlation_id",
    "session_id",
    "trace_id",
    "span_id",
    "component",
    "service",
    "version",
    "host",
    "context",
    "duration_ms",
];

/// Masks the event and returns the paths of what was masked.
pub(super) fn mask(masker: &Masker, event: &mut Event) -> Vec<String> {
    let derived = derived_changes(event);
    let mut walk = Walk::new(masker, false, 0);
    walk.header(event);
    walk.people(event);
    walk.context(event);
    walk.optional("before", &mut event.before);
    walk.optional("after", &mut event.after);
    // Two secrets that differed may be equal now; that they were changed must still be seen.
    if event.changes.is_none() && !walk.masked.is_empty() && derived_changes(event) != derived {
        event.changes = derived;
        walk.is_derived = true;
    }
    walk.optional("changes", &mut event.changes);
    walk.optional("approval", &mut event.approval);
    walk.root("details", &mut event.details);
    walk.duration(&mut event.duration_ms);
    walk.object(&mut event.extra, None, Form::Single);
    walk.masked
}

/// Masks JSON that stood in a string. True if anything was masked.
pub(super) fn mask_json(masker: &Masker, value: &mut Value, cards: bool, nesting: usize) -> bool {
    let mut walk = Walk::new(masker, true, nesting);
    walk.cards = cards;
    walk.value(value, None, "");
    !walk.masked.is_empty()
}

/// The changes that the line would derive.
fn derived_changes(event: &Event) -> Option<Value> {
    let (Some(Value::Object(before)), Some(Value::Object(after)), None) =
        (&event.before, &event.after, &event.changes)
    else {
        return None;
    };
    let mut json = Vec::new();
    if !Out::append(&mut json, |out| write_changes(before, after, out)) {
        // The line derives them itself then, and lists that they were cut.
        return None;
    }
    Value::parse(&json).ok().filter(|changes| changes.as_object().is_some_and(|changes| !changes.is_empty()))
}

/// Whether a member stays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
}

struct Walk<'a> {
    masker: &'a Masker,
    path: String,
    masked: Vec<String>,
    cards: bool,
    /// JSON inside of a string has no paths of its own.
    is_inner: bool,
    /// Whether `changes` was made here: then its keys are surely paths.
    is_derived: bool,
    nesting: usize,
    /// What the keys are of the object that is walked.
    form: Form,
    /// How the name of the event's own part matches that is walked.
    above: Option<Kind>,
}

impl<'a> Walk<'a> {
    fn new(masker: &'a Masker, is_inner: bool, nesting: usize) -> Self {
        let (path, masked) = (String::new(), Vec::new());
        Walk {
            masker,
            path,
            masked,
            cards: true,
            is_inner,
            is_derived: false,
            nesting,
            form: Form::Single,
            above: None,
        }
    }

    /// Id, category, action, tenant, texts.
    fn header(&mut self, event: &mut Event) {
        if let Some(id) = &mut event.id {
            self.at("id", |walk| {
                // Two ids that become one would be taken for a repeat, so the hash stands for the whole.
                if walk.masker.masked_text(id, false, 0).is_some() {
                    *id = walk.masker.id_for(id);
                    walk.mark();
                }
            });
        }
        self.cards = true;
        self.at("action", |walk| walk.never_empty(&mut event.action));
        if let Category::Custom(custom) = &mut event.category {
            let mut text = custom.clone().into_owned();
            self.at("category", |walk| walk.never_empty(&mut text));
            if *custom != text {
                *custom = text.into();
            }
        }
        self.field("tenant", &mut event.tenant);
        self.field("description", &mut event.description);
        self.field("error", &mut event.error);
        self.list("invalid", &mut event.invalid);
    }

    fn people(&mut self, event: &mut Event) {
        if let Some(actor) = &mut event.actor {
            self.part("actor", |walk| {
                walk.field("id", &mut actor.id);
                walk.field("type", &mut actor.kind);
                walk.field("name", &mut actor.name);
                walk.field("email", &mut actor.email);
                walk.roles(&mut actor.roles);
                walk.object(&mut actor.extra, walk.above, Form::Single);
            });
        }
        if let Some(other) = &mut event.on_behalf_of {
            self.part("on_behalf_of", |walk| {
                walk.field("id", &mut other.id);
                walk.field("reason", &mut other.reason);
                walk.object(&mut other.extra, walk.above, Form::Single);
            });
        }
        if let Some(resource) = &mut event.resource {
            self.part("resource", |walk| walk.resource(resource));
        }
        self.part("related", |walk| {
            for (place, resource) in event.related.iter_mut().enumerate() {
                walk.at(&place.to_string(), |walk| walk.resource(resource));
            }
        });
    }

    fn resource(&mut self, resource: &mut Resource) {
        self.field("type", &mut resource.kind);
        self.field("id", &mut resource.id);
        self.field("name", &mut resource.name);
        self.object(&mut resource.extra, self.above, Form::Single);
    }

    fn context(&mut self, event: &mut Event) {
        let context = &mut event.context;
        self.part("context", |walk| {
            walk.field("ip", &mut context.ip);
            walk.field("user_agent", &mut context.user_agent);
            // Ids made of digits are no cards.
            walk.cards = false;
            walk.field("request_id", &mut context.request_id);
            walk.field("correlation_id", &mut context.correlation_id);
            walk.field("session_id", &mut context.session_id);
            walk.field("trace_id", &mut context.trace_id);
            walk.field("span_id", &mut context.span_id);
            walk.cards = true;
            walk.field("component", &mut context.component);
            walk.field("service", &mut context.service);
            walk.field("version", &mut context.version);
            walk.field("host", &mut context.host);
            walk.object(&mut context.extra, walk.above, Form::Single);
        });
    }

    /// Goes one step down.
    fn at(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        if !self.is_inner {
            if len > 0 {
                self.path.push('.');
            }
            self.path.push_str(name);
        }
        if self.is_inner || !self.masker.is_allowed(&self.path) {
            visit(self);
        }
        self.path.truncate(len);
    }

    /// Goes into a part of the event, whose own name may match.
    fn part(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        self.above = self.masker.keys.find(name).filter(|kind| *kind == Kind::All);
        self.at(name, visit);
        self.above = None;
    }

    fn mark(&mut self) {
        let path = &self.path[..self.path.floor_char_boundary(PATH_BYTES_MAX)];
        if self.masked.last().is_none_or(|last| last != path) {
            self.masked.push(path.to_owned());
        }
    }

    /// A text that must not become empty.
    fn never_empty(&mut self, text: &mut String) {
        self.text(text);
        if text.is_empty() {
            FIXED.clone_into(text);
        }
    }

    fn field(&mut self, name: &str, field: &mut Option<String>) {
        let Some(text) = field.take() else { return };
        let mut value = Value::String(text);
        let mut fate = Fate::Stays;
        let kind = self.above.or_else(|| self.masker.keys.find(name));
        self.at(name, |walk| fate = walk.value(&mut value, kind, name));
        if let (Fate::Stays, Value::String(text)) = (fate, value) {
            *field = Some(text);
        }
    }

    fn roles(&mut self, roles: &mut Vec<String>) {
        let kind = self.above.or_else(|| self.masker.keys.find("roles"));
        if kind.is_none() {
            return self.list("roles", roles);
        }
        self.at("roles", |walk| {
            let mut place = 0;
            roles.retain_mut(|role| {
                let mut value = Value::String(std::mem::take(role));
                walk.at(&place.to_string(), |walk| _ = walk.value(&mut value, kind, "roles"));
                place += 1;
                let Value::String(left) = value else { return false };
                *role = left;
                true
            });
        });
    }

    /// A number of its own cannot hold what stands for a secret, so it goes.
    fn duration(&mut self, duration: &mut Option<Number>) {
        let is_secret = duration.is_some() && self.masker.keys.find("duration_ms").is_some();
        if is_secret {
            self.at("duration_ms", |walk| {
                *duration = None;
                walk.mark();
            });
        }
    }

    fn list(&mut self, name: &str, texts: &mut [String]) {
        self.at(name, |walk| {
            for (place, text) in texts.iter_mut().enumerate() {
                walk.at(&place.to_string(), |walk| walk.text(text));
            }
        });
    }

    fn optional(&mut self, name: &str, field: &mut Option<Value>) {
        let Some(value) = field else { return };
        let mut fate = Fate::Stays;
        let kind = self.masker.keys.find(name);
        self.at(name, |walk| fate = walk.value(value, kind, name));
        if fate == Fate::Goes {
            *field = None;
        }
    }

    fn root(&mut self, name: &str, object: &mut Object) {
        let kind = self.masker.keys.find(name);
        self.at(name, |walk| walk.object(object, kind, Form::Single));
    }

    /// The members of an object that stands under a key of `kind`.
    fn object(&mut self, object: &mut Object, kind: Option<Kind>, form: Form) {
        self.keys(object, form);
        let outer = std::mem::replace(&mut self.form, form);
        object.0.retain_mut(|(key, value)| {
            let kind = paths::kind_below(&self.masker.keys, kind, key, form);
            let mut fate = Fate::Stays;
            self.at(key, |walk| fate = walk.value(value, kind, key));
            fate == Fate::Stays
        });
        self.form = outer;
    }

    /// Keys that are secrets themselves get another name, each one of its own.
    fn keys(&mut self, object: &mut Object, form: Form) {
        for place in 0..object.0.len() {
            let Some(masked) = self.masked_key(&object.0[place].0, form) else { continue };
            let mut name = if masked.is_empty() { FIXED.to_owned() } else { masked };
            let stem = name.clone();
            let mut number = 1;
            while object.contains_key(&name) {
                number += 1;
                name = format!("{stem} {number}");
            }
            let mut is_allowed = true;
            let key = object.0[place].0.clone();
            self.at(&key, |_| is_allowed = false);
            if !is_allowed {
                object.0[place].0.clone_from(&name);
                self.at(&name, Walk::mark);
            }
        }
    }

    fn masked_key(&self, key: &str, form: Form) -> Option<String> {
        let masked = |text: &str| self.masker.masked_text(text, self.cards, self.nesting);
        if self.is_derived && form == Form::Escaped {
            // In a path, other keys and backslashes stand around the secret.
            return paths::change_keys(key, masked);
        }
        masked(key)
    }

    fn value(&mut self, value: &mut Value, kind: Option<Kind>, key: &str) -> Fate {
        match value {
            Value::Null | Value::Bool(_) => Fate::Stays,
            Value::Number(number) => {
                let text = number.to_string();
                let is_card = || self.cards && is_whole(number) && !self.masker.find_cards(&text).is_empty();
                if kind.is_none() && !is_card() {
                    return Fate::Stays;
                }
                self.replace(value, &text, key)
            }
            Value::String(text) => {
                let is_id = kind.is_some_and(|kind| kind != Kind::All) && is_access_key_id(text.as_bytes());
                if kind.is_none() || is_id {
                    self.text(text);
                    return Fate::Stays;
                }
                let text = std::mem::take(text);
                *value = Value::String(text.clone());
                if self.is_done(&text, key) { Fate::Stays } else { self.replace(value, &text, key) }
            }
            Value::Array(elements) => {
                let mut fates = Vec::with_capacity(elements.len());
                for (place, element) in elements.iter_mut().enumerate() {
                    let mut fate = Fate::Stays;
                    self.at(&place.to_string(), |walk| fate = walk.value(element, kind, key));
                    if fate == Fate::Goes {
                        *element = Value::Null;
                    }
                    fates.push(fate);
                }
                let is_gone = !fates.is_empty() && fates.iter().all(|fate| *fate == Fate::Goes);
                if is_gone && kind.is_some() { Fate::Goes } else { Fate::Stays }
            }
            Value::Object(object) => {
                let had_members = !object.is_empty();
                let form = if self.path == "changes" { Form::Escaped } else { self.form.below(key) };
                self.object(object, kind, form);
                let is_gone = had_members && object.is_empty() && kind == Some(Kind::All);
                if is_gone { Fate::Goes } else { Fate::Stays }
            }
        }
    }

    /// Whether the value under a matching key is what masking left.
    fn is_done(&self, text: &str, key: &str) -> bool {
        let is_mail =
            self.is_mail(key) && text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_mail || self.masker.is_replacement(text)
    }

    /// An address that document `001` has hashed, not removed.
    fn is_mail(&self, key: &str) -> bool {
        self.masker.preset == Some(Preset::Doc001Export) && key.eq_ignore_ascii_case("email")
    }

    fn replace(&mut self, value: &mut Value, secret: &str, key: &str) -> Fate {
        self.mark();
        if self.is_mail(key) {
            *value = Value::String(self.masker.mail_hash(secret));
            return Fate::Stays;
        }
        let is_removed = self.masker.replace_with == ReplaceWith::Remove
            || (self.masker.preset == Some(Preset::Doc001Export) && Preset::removes_001(key));
        if is_removed {
            *value = Value::Null;
            return Fate::Goes;
        }
        *value = Value::String(self.masker.replacement(secret));
        Fate::Stays
    }

    fn text(&mut self, text: &mut String) {
        if let Some(masked) = self.masker.masked_text(text, self.cards, self.nesting) {
            *text = masked;
            self.mark();
        }
    }
}

fn is_whole(number: &Number) -> bool {
    match number {
        Number::F64(_) => false,
        Number::Text(text) => text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'),
        Number::I64(_) | Number::U64(_) => true,
    }
}
