//! The event: who did what to which resource, when, from where, with what outcome.
//!
//! In: JSON from a client ([`Event::from_json`]) or fields set by a Rust caller. Out: an [`Event`] whose
//! JSON form is written once, into the line that is hashed. What must hold: nothing that a client sends
//! can keep its own record out; only an event without an action is refused.

mod bad_line;
mod builder;
mod changes;
mod limits;
pub(crate) mod names;
mod out;
pub(crate) mod parse;
pub(crate) mod read;
mod serde_impls;
pub(crate) mod simd;
mod value;
pub(crate) mod warning;
mod write;

pub use bad_line::{BadLine, NoAction};
pub use limits::{RELATED_MAX, TEXT_BYTES_MAX, Truncation, held_id, held_identifier};
pub use names::{CONTEXT_FIELDS, NO_OUTCOME, OWN_KEYS};
pub use parse::{DEPTH_MAX, Note, Oddity, ParseError, Parsed};
pub use read::Recorded;
pub use value::{Number, Object, Value};
pub use warning::{WARNINGS_MAX, Warning, Warnings};

pub(crate) use changes::{CHANGES_MAX, write_changes};
pub(crate) use limits::{
    ID_BYTES_MAX, IDENTIFIER_BYTES_MAX, IP_BYTES_MAX, ROLES_MAX, fit, shorten_paths, within_limits,
};
pub(crate) use names::INVALID;
pub(crate) use out::{Out, Piece, escape_into, piece};
pub(crate) use write::{
    end_object, write_escaped, write_list, write_members, write_number, write_object, write_text, write_u64,
    write_value,
};

use crate::timestamp::Timestamp;

/// One audit fact, before the trail has given it an index.
///
/// Every field except `action` may be absent. Fields that the trail fills (`v`, `index`, `recorded`, `recorded_by`,
/// `masked`, `truncated`, `sample_rate`, `time_ahead`) are not here: a caller cannot set them.
///
/// New fields may be added: make one with [`Event::new`] and its setters, or set its fields.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The caller's own id; if absent, a UUIDv7 is generated.
    pub id: Option<String>,
    /// When it happened, by the caller's clock; defaults to the time of recording.
    pub time: Option<Timestamp>,
    /// Whose data the event concerns.
    pub tenant: Option<String>,
    /// The kind of event.
    pub category: Category,
    /// What was done, such as `user.login`. The only required field.
    pub action: String,
    /// A sentence for people.
    pub description: Option<String>,
    /// How serious it is.
    pub severity: Severity,
    /// The outcome, if the caller gave one.
    pub outcome: Option<Outcome>,
    /// Why it failed.
    pub error: Option<String>,
    /// Who did it.
    pub actor: Option<Actor>,
    /// For whom it was done, if that is somebody else.
    pub on_behalf_of: Option<OnBehalfOf>,
    /// What it was done to.
    pub resource: Option<Resource>,
    /// Other resources concerned.
    pub related: Vec<Resource>,
    /// The resource's state before.
    pub before: Option<Value>,
    /// The resource's state after.
    pub after: Option<Value>,
    /// What changed; derived if `before` and `after` are objects and this is absent.
    pub changes: Option<Value>,
    /// Anything else about the event.
    pub details: Object,
    /// Where it came from.
    pub context: Context,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<Number>,
    /// Opaque approval data.
    pub approval: Option<Value>,
    /// Paths of fields that were sent with a wrong type or an unknown value, kept under
    /// `details._invalid`.
    pub invalid: Vec<String>,
    /// Unknown top-level fields, kept as sent.
    pub extra: Object,
}

/// Who did it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Actor {
    /// The actor's stable id.
    pub id: Option<String>,
    /// Such as `user`, `service`, `system`.
    pub kind: Option<String>,
    /// A name for people.
    pub name: Option<String>,
    /// An e-mail address.
    pub email: Option<String>,
    /// Roles held at the time.
    pub roles: Vec<String>,
    /// Unknown fields, kept as sent.
    pub extra: Object,
}

/// For whom an actor acted.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct OnBehalfOf {
    /// The id of the person acted for.
    pub id: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Unknown fields, kept as sent.
    pub extra: Object,
}

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Resource {
    /// Such as `invoice`; JSON name `type`.
    pub kind: Option<String>,
    /// The resource's stable id.
    pub id: Option<String>,
    /// A name for people.
    pub name: Option<String>,
    /// Unknown fields, kept as sent.
    pub extra: Object,
}

/// Where an event came from.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
#[non_exhaustive]
pub struct Context {
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
    pub session_id: Option<String>,
    pub trace_id: Option<String>,
    pub span_id: Option<String>,
    pub component: Option<String>,
    pub service: Option<String>,
    pub version: Option<String>,
    pub host: Option<String>,
    /// Unknown fields, kept as sent.
    pub extra: Object,
}

/// The kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Category {
    Authentication,
    Authorization,
    SecretAccess,
    ConfigChange,
    DataAccess,
    DataChange,
    Workflow,
    Step,
    Admin,
    System,
    /// `custom:NAME`; holds NAME. The default is `custom:other`.
    Custom(std::borrow::Cow<'static, str>),
}

impl Default for Category {
    fn default() -> Self {
        Category::Custom(std::borrow::Cow::Borrowed("other"))
    }
}

/// How serious an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Severity {
    Debug,
    #[default]
    Info,
    Notice,
    Warning,
    Error,
    Critical,
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Outcome {
    Success,
    Failure,
    Denied,
    Partial,
    Unknown,
}
