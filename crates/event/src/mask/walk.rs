//! The slow path: an event is walked as a value, and every secret in it replaced.

use std::collections::{HashMap, HashSet};

use super::preset::{FIXED, Preset};
use super::{Masker, ReplaceWith};
use crate::counted_steps;
use crate::event::{Category, Event, Number, Object, Out, Resource, Value, write_changes};
use crate::mask::names::effect::{Kind, is_authorization};
use crate::mask::names::named_values::{below_named, named_by};
use crate::mask::names::paths::{self, Form, Under};

/// The maximum length of a dotted path; of a longer one, its beginning is listed.
const PATH_BYTES_MAX: usize = 512;

impl Masker {
    /// Masks an event and returns the paths of what was masked: keys and positions joined by dots.
    pub fn mask(&self, event: &mut Event) -> Vec<String> {
        if !self.is_enabled() {
            return Vec::new();
        }
        let derived = derived_changes(event);
        let mut walk = Walk::new(self, false, 0);
        walk.header(event);
        walk.people(event);
        walk.context(event);
        walk.optional("before", &mut event.before);
        walk.optional("after", &mut event.after);
        // Two different secrets may be equal now; that they were changed must still be visible.
        if event.changes.is_none() && !walk.masked.is_empty() && derived_changes(event) != derived {
            event.changes = derived;
            walk.is_derived = true;
        }
        walk.optional("changes", &mut event.changes);
        walk.optional("approval", &mut event.approval);
        walk.root("details", &mut event.details);
        walk.duration(&mut event.duration_ms);
        walk.object(&mut event.extra, Under::default(), Form::Single);
        walk.masked
    }

    /// Masks a value that stood as JSON in a string. True if anything was masked.
    pub(super) fn mask_value(&self, value: &mut Value, cards: bool, nesting: usize) -> bool {
        let mut walk = Walk::new(self, true, nesting);
        walk.cards = cards;
        walk.value(value, Under::default(), "");
        !walk.masked.is_empty()
    }
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
        // The line then derives them itself, and lists that they were cut.
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
    /// JSON inside a string has no paths of its own.
    is_inner: bool,
    /// Whether `changes` was derived here: then its keys are certainly paths.
    is_derived: bool,
    /// The paths, cut, of what another member of the same object named. In derived changes its name does not stand beside it.
    named: HashSet<String>,
    nesting: usize,
    /// What the keys of the object being walked are.
    form: Form,
    /// How the name of the event's part being walked matches.
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
            named: HashSet::new(),
            nesting,
            form: Form::Single,
            above: None,
        }
    }

    /// Id, category, action, tenant, texts.
    fn header(&mut self, event: &mut Event) {
        self.identity("id", &mut event.id, None);
        self.at("action", |walk| walk.never_empty(&mut event.action));
        if let Category::Custom(custom) = &mut event.category {
            let mut text = custom.clone().into_owned();
            self.at("category", |walk| walk.never_empty(&mut text));
            if *custom != text {
                *custom = text.into();
            }
        }
        self.identity("tenant", &mut event.tenant, None);
        self.field("description", &mut event.description);
        self.field("error", &mut event.error);
        self.list("invalid", &mut event.invalid);
    }

    fn people(&mut self, event: &mut Event) {
        if let Some(actor) = &mut event.actor {
            self.part("actor", |walk| {
                walk.named("id", &mut actor.id);
                walk.field("type", &mut actor.kind);
                walk.field("name", &mut actor.name);
                walk.field("email", &mut actor.email);
                walk.roles(&mut actor.roles);
                walk.object(&mut actor.extra, Under::of(walk.above), Form::Single);
            });
        }
        if let Some(other) = &mut event.on_behalf_of {
            self.part("on_behalf_of", |walk| {
                walk.named("id", &mut other.id);
                walk.field("reason", &mut other.reason);
                walk.object(&mut other.extra, Under::of(walk.above), Form::Single);
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
        self.named("id", &mut resource.id);
        self.field("name", &mut resource.name);
        self.object(&mut resource.extra, Under::of(self.above), Form::Single);
    }

    fn context(&mut self, event: &mut Event) {
        let context = &mut event.context;
        self.part("context", |walk| {
            walk.field("ip", &mut context.ip);
            walk.field("user_agent", &mut context.user_agent);
            walk.named("request_id", &mut context.request_id);
            walk.named("correlation_id", &mut context.correlation_id);
            walk.named("session_id", &mut context.session_id);
            walk.named("trace_id", &mut context.trace_id);
            walk.named("span_id", &mut context.span_id);
            walk.field("component", &mut context.component);
            walk.field("service", &mut context.service);
            walk.field("version", &mut context.version);
            walk.field("host", &mut context.host);
            walk.object(&mut context.extra, Under::of(walk.above), Form::Single);
        });
    }

    /// Goes one level down.
    fn at(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        if !self.is_inner {
            if len > 0 {
                self.path.push('.');
            }
            self.path.push_str(name);
        }
        if self.is_inner || !self.masker.is_allowed(&self.path) || self.is_hashed() {
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
        let path = cut(&self.path);
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

    /// Whether the user named this place to be always hashed.
    fn is_hashed(&self) -> bool {
        !self.is_inner && self.masker.hashed.has(&self.path)
    }

    /// The id of one of the event's own parts, which a user's key may name.
    fn named(&mut self, name: &str, field: &mut Option<String>) {
        let kind = self.above.or_else(|| self.masker.keys.find(name));
        self.identity(name, field, kind);
    }

    /// An identity field, or one that decides who may read. Different values have different hashes; what only looks
    /// like a secret stays.
    fn identity(&mut self, name: &str, field: &mut Option<String>, kind: Option<Kind>) {
        let Some(text) = field.as_mut().filter(|text| !text.is_empty()) else { return };
        self.at(name, |walk| {
            let masker = walk.masker;
            if masker.key.is_hash(text) {
                return;
            }
            if walk.is_hashed() || kind.is_some() || masker.is_certain(text) {
                let merges = cfg!(trailseal_fault = "identities_merge");
                *text = if merges { FIXED.to_owned() } else { masker.hash(text) };
                walk.mark();
            }
        });
    }

    fn field(&mut self, name: &str, field: &mut Option<String>) {
        let Some(text) = field.take() else { return };
        let mut value = Value::String(text);
        let mut fate = Fate::Stays;
        let kind = self.above.or_else(|| self.masker.keys.find(name));
        self.at(name, |walk| fate = walk.value(&mut value, Under::of(kind), name));
        if let (Fate::Stays, Value::String(text)) = (fate, value) {
            *field = Some(text);
        }
    }

    fn roles(&mut self, roles: &mut Vec<String>) {
        let kind = self.above.or_else(|| self.masker.keys.find("roles"));
        if kind.is_none() && self.masker.hashed.is_empty() {
            return self.list("roles", roles);
        }
        self.at("roles", |walk| {
            let mut place = 0;
            roles.retain_mut(|role| {
                let mut value = Value::String(std::mem::take(role));
                walk.at(&place.to_string(), |walk| _ = walk.value(&mut value, Under::of(kind), "roles"));
                place += 1;
                let Value::String(left) = value else { return false };
                *role = left;
                true
            });
        });
    }

    /// A number field cannot hold a replacement, so it is removed.
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
        self.at(name, |walk| fate = walk.value(value, Under::of(kind), name));
        if fate == Fate::Goes {
            *field = None;
        }
    }

    fn root(&mut self, name: &str, object: &mut Object) {
        let kind = self.masker.keys.find(name);
        self.at(name, |walk| walk.object(object, Under::of(kind), Form::Single));
    }

    /// The members of an object to which `above` applies.
    fn object(&mut self, object: &mut Object, above: Under, form: Form) {
        let named = named_by(&self.masker.keys, object);
        self.keys(object, form);
        let outer = std::mem::replace(&mut self.form, form);
        object.0.retain_mut(|(key, value)| {
            let mut under = paths::below(&self.masker.keys, above, key, form);
            let by_name = below_named(named, key, value, under).or_else(|| self.was_named(key, form, under));
            let mut fate = Fate::Stays;
            self.at(key, |walk| {
                if let Some(by_name) = by_name {
                    under = by_name;
                    walk.remember_named();
                }
                fate = walk.value(value, under, key);
            });
            fate == Fate::Stays
        });
        self.form = outer;
    }

    /// Keeps the path of what another member named, if derived changes may have it.
    fn remember_named(&mut self) {
        if self.path.starts_with("before.") || self.path.starts_with("after.") {
            self.named.insert(cut(&self.path).to_owned());
        }
    }

    /// What applies to a derived change of something that another member named.
    fn was_named(&self, path: &str, form: Form, under: Under) -> Option<Under> {
        if cfg!(trailseal_fault = "derived_changes_not_named") {
            return None;
        }
        if !self.is_derived || form != Form::Escaped || under.kind.is_some() || self.named.is_empty() {
            return None;
        }
        let path = paths::unescaped(path);
        ["before", "after"]
            .iter()
            .any(|state| self.named.contains(cut(&format!("{state}.{path}"))))
            .then(|| Under::of(Some(Kind::Secret)))
    }

    /// Keys that are themselves secrets get another name, each a distinct one.
    fn keys(&mut self, object: &mut Object, form: Form) {
        let masked: Vec<(usize, String)> = (0..object.0.len())
            .filter_map(|place| Some((place, self.masked_key(&object.0[place].0, form)?)))
            .collect();
        if masked.is_empty() {
            return;
        }
        // Many secrets leave the same name: taken names are looked up, and counting continues where it ended.
        let mut names: HashSet<String> = object.0.iter().map(|(key, _)| key.clone()).collect();
        let mut counts: HashMap<String, usize> = HashMap::new();
        for (place, masked) in masked {
            let mut is_allowed = true;
            let key = object.0[place].0.clone();
            self.at(&key, |_| is_allowed = false);
            if is_allowed {
                continue;
            }
            let stem = if masked.is_empty() { FIXED.to_owned() } else { masked };
            let count = counts.entry(stem.clone()).or_insert(1);
            let mut name = stem.clone();
            while names.contains(&name) {
                counted_steps::count(1);
                *count += 1;
                name = format!("{stem} {count}");
            }
            names.remove(&key);
            names.insert(name.clone());
            object.0[place].0.clone_from(&name);
            self.at(&name, Walk::mark);
        }
    }

    fn masked_key(&self, key: &str, form: Form) -> Option<String> {
        let masked = |text: &str| self.masker.masked_text(text, self.cards, self.nesting);
        if self.is_derived && form == Form::Escaped {
            // In a path, other keys and backslashes surround the secret.
            return paths::change_keys(key, masked);
        }
        masked(key)
    }

    fn value(&mut self, value: &mut Value, under: Under, key: &str) -> Fate {
        match value {
            Value::Null | Value::Bool(_) => Fate::Stays,
            Value::Number(_) | Value::String(_) if self.is_hashed() => {
                self.hash(value);
                Fate::Stays
            }
            Value::Number(number) => {
                let text = number.to_string();
                let is_card = || self.cards && is_whole(number) && !self.masker.find_cards(&text).is_empty();
                if !under.hides_number() && !is_card() {
                    return Fate::Stays;
                }
                self.replace(value, &text, key)
            }
            Value::String(text) => {
                if !under.hides(text) {
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
                    self.at(&place.to_string(), |walk| fate = walk.value(element, under.listed(), key));
                    if fate == Fate::Goes {
                        *element = Value::Null;
                    }
                    fates.push(fate);
                }
                let is_gone = !fates.is_empty() && fates.iter().all(|fate| *fate == Fate::Goes);
                if is_gone && under.kind.is_some() { Fate::Goes } else { Fate::Stays }
            }
            Value::Object(object) => {
                let had_members = !object.is_empty();
                let form = if self.path == "changes" { Form::Escaped } else { self.form.below(key) };
                let under = if says_what_is_allowed(key, object, under) { Under::default() } else { under };
                self.object(object, under, form);
                let is_whole = under.kind.is_some_and(|kind| kind != Kind::Walked);
                if had_members && object.is_empty() && is_whole { Fate::Goes } else { Fate::Stays }
            }
        }
    }

    /// What the user wants always hashed.
    fn hash(&mut self, value: &mut Value) {
        let text = match &*value {
            Value::String(text) if text.is_empty() || self.masker.key.is_hash(text) => return,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        *value = Value::String(self.masker.hash(&text));
        self.mark();
    }

    /// Whether the value under a matching key is a masking replacement.
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

/// A path, or its beginning.
fn cut(path: &str) -> &str {
    &path[..path.floor_char_boundary(PATH_BYTES_MAX)]
}

/// Whether an object under a header's name is not a header: it describes permissions.
fn says_what_is_allowed(key: &str, object: &Object, under: Under) -> bool {
    let is_grant =
        |(name, _): (&str, &Value)| name.eq_ignore_ascii_case("action") || name.eq_ignore_ascii_case("scope");
    under.kind == Some(Kind::Secret) && is_authorization(key) && object.iter().any(is_grant)
}

fn is_whole(number: &Number) -> bool {
    match number {
        Number::F64(_) => false,
        Number::Text(text) => text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'),
        Number::I64(_) | Number::U64(_) => true,
    }
}
