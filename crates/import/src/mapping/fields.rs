//! The fields of an event that a mapping can fill, and their names there.

use trailseal_event::{Category, Event, Outcome, Severity};

/// Where a text goes in an event.
pub(super) type Place = fn(&mut Event) -> &mut Option<String>;

/// A field under `[event]` in a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Action,
    Time,
    Category,
    Severity,
    Outcome,
    /// Index into [`TEXTS`].
    Text(usize),
    Roles,
    Duration,
    Before,
    After,
    Changes,
    Approval,
}

/// The fields that hold any text.
pub(super) const TEXTS: [(&str, Place); 23] = [
    ("tenant", |event| &mut event.tenant),
    ("description", |event| &mut event.description),
    ("error", |event| &mut event.error),
    ("actor.id", |event| &mut event.actor.get_or_insert_default().id),
    ("actor.type", |event| &mut event.actor.get_or_insert_default().kind),
    ("actor.name", |event| &mut event.actor.get_or_insert_default().name),
    ("actor.email", |event| &mut event.actor.get_or_insert_default().email),
    ("on_behalf_of.id", |event| &mut event.on_behalf_of.get_or_insert_default().id),
    ("on_behalf_of.reason", |event| &mut event.on_behalf_of.get_or_insert_default().reason),
    ("resource.type", |event| &mut event.resource.get_or_insert_default().kind),
    ("resource.id", |event| &mut event.resource.get_or_insert_default().id),
    ("resource.name", |event| &mut event.resource.get_or_insert_default().name),
    ("context.ip", |event| &mut event.context.ip),
    ("context.user_agent", |event| &mut event.context.user_agent),
    ("context.request_id", |event| &mut event.context.request_id),
    ("context.correlation_id", |event| &mut event.context.correlation_id),
    ("context.session_id", |event| &mut event.context.session_id),
    ("context.trace_id", |event| &mut event.context.trace_id),
    ("context.span_id", |event| &mut event.context.span_id),
    ("context.component", |event| &mut event.context.component),
    ("context.service", |event| &mut event.context.service),
    ("context.version", |event| &mut event.context.version),
    ("context.host", |event| &mut event.context.host),
];

const OTHERS: [(&str, Field); 11] = [
    ("action", Field::Action),
    ("time", Field::Time),
    ("category", Field::Category),
    ("severity", Field::Severity),
    ("outcome", Field::Outcome),
    ("actor.roles", Field::Roles),
    ("duration_ms", Field::Duration),
    ("before", Field::Before),
    ("after", Field::After),
    ("changes", Field::Changes),
    ("approval", Field::Approval),
];

impl Field {
    pub(super) fn named(name: &str) -> Option<Field> {
        let other = OTHERS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
        other.or_else(|| TEXTS.iter().position(|(known, _)| *known == name).map(Field::Text))
    }

    /// Whether `[values]` can replace what it holds.
    pub(super) fn is_text(self) -> bool {
        use Field::{Action, Category, Outcome, Roles, Severity, Text};
        matches!(self, Action | Category | Outcome | Roles | Severity | Text(_))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Field::Text(at) => TEXTS[at].0,
            other => OTHERS.iter().find(|(_, field)| *field == other).map_or("", |(name, _)| name),
        }
    }

    /// All names, for messages.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        OTHERS.iter().map(|(name, _)| *name).chain(TEXTS.iter().map(|(name, _)| *name))
    }
}

/// A word of a fixed list, such as an outcome.
pub(super) trait Word: Sized + Clone {
    /// All allowed values, for messages.
    const WORDS: &'static str;
    fn from_word(word: &str) -> Option<Self>;
    fn word(&self) -> String;
}

const OUTCOMES: [(&str, Outcome); 5] = [
    ("success", Outcome::Success),
    ("failure", Outcome::Failure),
    ("denied", Outcome::Denied),
    ("partial", Outcome::Partial),
    ("unknown", Outcome::Unknown),
];

const SEVERITIES: [(&str, Severity); 6] = [
    ("debug", Severity::Debug),
    ("info", Severity::Info),
    ("notice", Severity::Notice),
    ("warning", Severity::Warning),
    ("error", Severity::Error),
    ("critical", Severity::Critical),
];

const CATEGORIES: [(&str, Category); 10] = [
    ("authentication", Category::Authentication),
    ("authorization", Category::Authorization),
    ("secret_access", Category::SecretAccess),
    ("config_change", Category::ConfigChange),
    ("data_access", Category::DataAccess),
    ("data_change", Category::DataChange),
    ("workflow", Category::Workflow),
    ("step", Category::Step),
    ("admin", Category::Admin),
    ("system", Category::System),
];

impl Word for Outcome {
    const WORDS: &'static str = "success, failure, denied, partial, unknown";
    fn from_word(word: &str) -> Option<Self> {
        find(&OUTCOMES, word)
    }
    fn word(&self) -> String {
        name(&OUTCOMES, self)
    }
}

impl Word for Severity {
    const WORDS: &'static str = "debug, info, notice, warning, error, critical";
    fn from_word(word: &str) -> Option<Self> {
        find(&SEVERITIES, word)
    }
    fn word(&self) -> String {
        name(&SEVERITIES, self)
    }
}

impl Word for Category {
    const WORDS: &'static str = "authentication, authorization, secret_access, config_change, data_access, \
        data_change, workflow, step, admin, system, custom:NAME";
    fn from_word(word: &str) -> Option<Self> {
        match word.strip_prefix("custom:") {
            Some("") => None,
            Some(own) => Some(Category::Custom(own.to_owned().into())),
            None => find(&CATEGORIES, word),
        }
    }
    fn word(&self) -> String {
        match self {
            Category::Custom(own) => format!("custom:{own}"),
            known => name(&CATEGORIES, known),
        }
    }
}

fn find<T: Clone>(words: &[(&str, T)], word: &str) -> Option<T> {
    words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, value)| value.clone())
}

fn name<T: PartialEq>(words: &[(&str, T)], value: &T) -> String {
    words.iter().find(|(_, known)| known == value).map(|(word, _)| (*word).to_owned()).unwrap_or_default()
}

/// How many milliseconds a unit has.
pub(super) fn unit_millis(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1e-6,
        "us" | "µs" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" | "min" => 6e4,
        "h" => 3.6e6,
        _ => return None,
    })
}
