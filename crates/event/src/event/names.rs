//! The words of the event's closed lists, and the names of its fields.

use std::borrow::Cow;
use std::fmt;

use super::{Category, Context, Outcome, Severity};

/// The key of `details` that holds what could not be taken, each under its path.
pub(crate) const INVALID: &str = "_invalid";

/// Top-level fields that only the trail fills. Sent ones are kept under `details._invalid`.
pub(crate) const RESERVED: [&str; 10] = [
    "v",
    "index",
    "recorded",
    "system",
    "time_ahead",
    "recorded_by",
    "masked",
    "truncated",
    "sample_rate",
    "invalid",
];

/// Top-level fields that a caller fills.
pub(crate) const FIELDS: [&str; 20] = [
    "id",
    "time",
    "tenant",
    "category",
    "action",
    "description",
    "severity",
    "outcome",
    "error",
    "actor",
    "on_behalf_of",
    "resource",
    "related",
    "before",
    "after",
    "changes",
    "details",
    "context",
    "duration_ms",
    "approval",
];
pub(crate) const ACTOR_FIELDS: [&str; 5] = ["id", "type", "name", "email", "roles"];
pub(crate) const ON_BEHALF_OF_FIELDS: [&str; 2] = ["id", "reason"];
pub(crate) const RESOURCE_FIELDS: [&str; 3] = ["type", "id", "name"];
/// The fields of an event's context.
pub const CONTEXT_FIELDS: [&str; 11] = [
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
];

/// The name for an event without an outcome in filters, counts and facets. No event has it as a value.
pub const NO_OUTCOME: &str = "none";

const CUSTOM: &str = "custom:";

/// The names of the event's own fields, place by place. [`rewrite`](crate::rewrite) does not ask about these, so if one
/// of them is masked by its name, the fast path must not be taken at all.
pub const OWN_KEYS: [&[&str]; 5] =
    [&FIELDS, &ACTOR_FIELDS, &ON_BEHALF_OF_FIELDS, &RESOURCE_FIELDS, &CONTEXT_FIELDS];

impl Context {
    /// The text with this name in JSON; `None` for a name that no context has.
    pub fn text_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "ip" => &mut self.ip,
            "user_agent" => &mut self.user_agent,
            "request_id" => &mut self.request_id,
            "correlation_id" => &mut self.correlation_id,
            "session_id" => &mut self.session_id,
            "trace_id" => &mut self.trace_id,
            "span_id" => &mut self.span_id,
            "component" => &mut self.component,
            "service" => &mut self.service,
            "version" => &mut self.version,
            "host" => &mut self.host,
            _ => return None,
        })
    }
}

impl Category {
    /// Every category except the custom ones.
    pub const NAMED: [Category; 10] = [
        Category::Authentication,
        Category::Authorization,
        Category::SecretAccess,
        Category::ConfigChange,
        Category::DataAccess,
        Category::DataChange,
        Category::Workflow,
        Category::Step,
        Category::Admin,
        Category::System,
    ];

    /// Parses a category's name; `None` for a word that is neither known nor `custom:NAME`.
    pub fn parse(name: &str) -> Option<Category> {
        match name.strip_prefix(CUSTOM) {
            Some("") => None,
            Some("other") => Some(Category::default()),
            Some(custom) => Some(Category::Custom(Cow::Owned(custom.to_owned()))),
            None => Category::NAMED.into_iter().find(|category| category.prefix() == name),
        }
    }

    /// The category's name in JSON.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Category::Custom(custom) => Cow::Owned(format!("{CUSTOM}{custom}")),
            named => Cow::Borrowed(named.prefix()),
        }
    }

    /// The name, or for a custom category its prefix.
    pub(crate) const fn prefix(&self) -> &'static str {
        match self {
            Category::Authentication => "authentication",
            Category::Authorization => "authorization",
            Category::SecretAccess => "secret_access",
            Category::ConfigChange => "config_change",
            Category::DataAccess => "data_access",
            Category::DataChange => "data_change",
            Category::Workflow => "workflow",
            Category::Step => "step",
            Category::Admin => "admin",
            Category::System => "system",
            Category::Custom(_) => CUSTOM,
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Severity; 6] = [
        Severity::Debug,
        Severity::Info,
        Severity::Notice,
        Severity::Warning,
        Severity::Error,
        Severity::Critical,
    ];

    /// Parses a severity's name in any case. Also understood: `trace`, `information`, `informational`, `warn`, `err`,
    /// `crit`, `fatal`, `alert`, `emergency`, `emerg`.
    pub fn parse(name: &str) -> Option<Severity> {
        Some(match name.to_ascii_lowercase().as_str() {
            "debug" | "trace" => Severity::Debug,
            "info" | "information" | "informational" => Severity::Info,
            "notice" => Severity::Notice,
            "warning" | "warn" => Severity::Warning,
            "error" | "err" => Severity::Error,
            "critical" | "crit" | "fatal" | "alert" | "emergency" | "emerg" => Severity::Critical,
            _ => return None,
        })
    }

    /// The severity's name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 5] =
        [Outcome::Success, Outcome::Failure, Outcome::Denied, Outcome::Partial, Outcome::Unknown];

    /// Parses an outcome's name, in any case.
    pub fn parse(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.name().eq_ignore_ascii_case(name))
    }

    /// The name of an outcome, or of none, in filters, counts and facets.
    pub const fn name_or_none(outcome: Option<Outcome>) -> &'static str {
        match outcome {
            Some(outcome) => outcome.name(),
            None => NO_OUTCOME,
        }
    }

    /// Parses a filter's value: an outcome, or `none`. `None` if the word is neither.
    pub(crate) fn parse_wanted(name: &str) -> Option<Option<Outcome>> {
        if name.eq_ignore_ascii_case(NO_OUTCOME) { Some(None) } else { Outcome::parse(name).map(Some) }
    }

    /// The outcome's name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Denied => "denied",
            Outcome::Partial => "partial",
            Outcome::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::event::Event;

    #[test]
    fn every_name_reads_back() {
        for category in Category::NAMED.into_iter().chain([Category::default(), Category::Custom("x".into())])
        {
            assert_eq!(Category::parse(&category.name()), Some(category));
        }
        for severity in Severity::ALL {
            assert_eq!(Severity::parse(severity.name()), Some(severity));
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.name()), Some(outcome));
        }
        assert_eq!(Severity::parse("WARN"), Some(Severity::Warning));
        assert_eq!((Category::parse("custom:"), Category::parse("other")), (None, None));
        assert_eq!((Severity::parse("loud"), Outcome::parse("ok")), (None, None));
        assert_eq!(Outcome::parse(NO_OUTCOME), None, "it is no outcome, but the lack of one");
        for wanted in Outcome::ALL.map(Some).into_iter().chain([None]) {
            assert_eq!(Outcome::parse_wanted(Outcome::name_or_none(wanted)), Some(wanted));
        }
        assert_eq!(Outcome::parse_wanted("ok"), None);
    }

    #[test]
    fn each_field_of_a_context_is_set_by_its_name() {
        let mut context = Context::default();
        for name in CONTEXT_FIELDS {
            *context.text_mut(name).unwrap() = Some(name.to_owned());
        }
        let mut event = Event::new("a");
        event.context = context;
        let json = String::from_utf8(event.to_json()).unwrap();
        for name in CONTEXT_FIELDS {
            assert!(json.contains(&format!("\"{name}\":\"{name}\"")), "{name}: {json}");
        }
        assert_eq!(event.context.text_mut("address"), None);
    }
}
