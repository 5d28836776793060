//! Events as the fifth document has them, and as a trail has them.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::complete::EventId;

use crate::time::{system_time, timestamp};
use crate::{Category, Event, Number, Object, Outcome, RecordedEvent, Value, to_value};

/// An event with the fields of `llm-orchestrator-audit`.
///
/// ```
/// use trailseal::{AuditEvent, AuditEventType, AuditResult, ResourceType};
///
/// let event = AuditEvent::new(AuditEventType::WorkflowCreate, "Deployed", ResourceType::Workflow, "w1", AuditResult::Success)
///     .with_user_id("u1")
///     .with_details(vec!["staging", "production"]);
/// assert_eq!(event.details.to_string(), r#"["staging","production"]"#);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// Its id: a UUIDv7.
    pub id: String,
    /// When it happened.
    pub timestamp: SystemTime,
    /// What kind of event it is.
    pub event_type: AuditEventType,
    /// Who did it.
    pub user_id: Option<String>,
    /// What was done, for people.
    pub action: String,
    /// What kind of thing it was done to.
    pub resource_type: ResourceType,
    /// Which one.
    pub resource_id: String,
    /// How it ended.
    pub result: AuditResult,
    /// Anything else; `null` if there is nothing.
    pub details: Value,
    /// Where it came from.
    pub ip_address: Option<String>,
    /// The program that it came from.
    pub user_agent: Option<String>,
    /// The request that it belongs to.
    pub request_id: Option<String>,
    /// Whose data it is about.
    pub tenant: Option<String>,
    /// How long it took.
    pub duration: Option<Duration>,
    /// The state before.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
}

impl AuditEvent {
    /// An event of now.
    pub fn new(
        event_type: AuditEventType,
        action: impl Into<String>,
        resource_type: ResourceType,
        resource_id: impl Into<String>,
        result: AuditResult,
    ) -> Self {
        let now = SystemClock.now();
        AuditEvent {
            id: EventId::new(now).as_str().to_owned(),
            timestamp: system_time(now),
            event_type,
            user_id: None,
            action: action.into(),
            resource_type,
            resource_id: resource_id.into(),
            result,
            details: Value::Null,
            ip_address: None,
            user_agent: None,
            request_id: None,
            tenant: None,
            duration: None,
            before: None,
            after: None,
        }
    }

    /// Who did it.
    #[must_use]
    pub fn with_user_id(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Anything else. Data that cannot be serialised is replaced by why it could not be.
    #[must_use]
    pub fn with_details(mut self, details: impl Serialize) -> Self {
        self.details = to_value(&details).unwrap_or_else(|error| {
            Value::Object(Object::from_iter([("not_serialised", error.to_string())]))
        });
        self
    }

    /// Where it came from.
    #[must_use]
    pub fn with_ip_address(mut self, ip_address: impl Into<String>) -> Self {
        self.ip_address = Some(ip_address.into());
        self
    }

    /// The program that it came from.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// The request that it belongs to.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    /// Whose data it is about.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// How long it took.
    #[must_use]
    pub fn with_duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// The state before and after.
    #[must_use]
    pub fn with_change(mut self, before: impl Into<Value>, after: impl Into<Value>) -> Self {
        (self.before, self.after) = (Some(before.into()), Some(after.into()));
        self
    }
}

impl From<AuditEvent> for Event {
    fn from(event: AuditEvent) -> Event {
        let (category, action) = event.event_type.in_trail();
        // The text for people stays one, unless the type has no name of its own.
        let description = Some(event.action).filter(|text| !text.is_empty());
        let details = match event.details {
            Value::Null => Object::new(),
            Value::Object(details) if !is_wrapping(&details) => details,
            other => Object::from_iter([(VALUE, other)]),
        };
        let mut made = Event::new(action)
            .id(event.id)
            .time(timestamp(event.timestamp))
            .category(category)
            .resource(event.resource_type.as_str(), event.resource_id)
            .details(details);
        if let Some(id) = event.user_id {
            made = made.actor(id);
        }
        (made.outcome, made.error) = event.result.in_trail();
        (made.tenant, made.description) = (event.tenant, description);
        (made.before, made.after) = (event.before, event.after);
        made.duration_ms = event.duration.map(|duration| Number::from(millis(duration)));
        made.context.ip = event.ip_address.filter(|ip| !ip.is_empty());
        (made.context.user_agent, made.context.request_id) = (event.user_agent, event.request_id);
        made
    }
}

/// Under this name `details` hold details that are no object, or one that looks like them.
const VALUE: &str = "_value";

fn is_wrapping(details: &Object) -> bool {
    details.len() == 1 && details.contains_key(VALUE)
}

/// What was wrapped, and nothing else: an object only if it would have been.
fn unwrapped(mut details: Object) -> Value {
    match details.remove(VALUE) {
        Some(Value::Object(inner)) if !is_wrapping(&inner) => {
            details.insert(VALUE, Value::Object(inner));
            Value::Object(details)
        }
        inner => inner.unwrap_or_default(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<RecordedEvent> for AuditEvent {
    fn from(recorded: RecordedEvent) -> AuditEvent {
        let event = recorded.event;
        let resource = event.resource.unwrap_or_default();
        let event_type = AuditEventType::of(&event.category, &event.action);
        AuditEvent {
            id: event.id.unwrap_or_default(),
            timestamp: system_time(event.time.unwrap_or(recorded.recorded)),
            action: event.description.unwrap_or(event.action),
            event_type,
            user_id: event.actor.and_then(|actor| actor.id.or(actor.name)),
            resource_type: ResourceType::parse(&resource.kind.unwrap_or_default()),
            resource_id: resource.id.or(resource.name).unwrap_or_default(),
            result: AuditResult::of(event.outcome, event.error),
            details: match event.details {
                details if details.is_empty() => Value::Null,
                details if is_wrapping(&details) => unwrapped(details),
                details => Value::Object(details),
            },
            ip_address: event.context.ip,
            user_agent: event.context.user_agent,
            request_id: event.context.request_id,
            tenant: event.tenant,
            duration: event.duration_ms.and_then(|millis| millis.as_u64()).map(Duration::from_millis),
            before: event.before,
            after: event.after,
        }
    }
}

/// What kind of event it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum AuditEventType {
    Authentication,
    Authorization,
    WorkflowExecution,
    WorkflowCreate,
    WorkflowUpdate,
    WorkflowDelete,
    SecretAccess,
    ConfigChange,
    ApiKeyCreate,
    ApiKeyRevoke,
    StepExecution,
    SystemEvent,
    /// Any other: the trail's `action`.
    Other(String),
}

/// Each with its own name, and its category and action in a trail.
static NAMED: [(AuditEventType, &str, Category, &str); 12] = [
    (AuditEventType::Authentication, "authentication", Category::Authentication, "user.authenticate"),
    (AuditEventType::Authorization, "authorization", Category::Authorization, "access.authorize"),
    (AuditEventType::WorkflowExecution, "workflow_execution", Category::Workflow, "workflow.execute"),
    (AuditEventType::WorkflowCreate, "workflow_create", Category::Workflow, "workflow.create"),
    (AuditEventType::WorkflowUpdate, "workflow_update", Category::Workflow, "workflow.update"),
    (AuditEventType::WorkflowDelete, "workflow_delete", Category::Workflow, "workflow.delete"),
    (AuditEventType::SecretAccess, "secret_access", Category::SecretAccess, "secret.access"),
    (AuditEventType::ConfigChange, "config_change", Category::ConfigChange, "config.change"),
    (AuditEventType::ApiKeyCreate, "api_key_create", Category::Admin, "api_key.create"),
    (AuditEventType::ApiKeyRevoke, "api_key_revoke", Category::Admin, "api_key.revoke"),
    (AuditEventType::StepExecution, "step_execution", Category::Step, "step.execute"),
    (AuditEventType::SystemEvent, "system_event", Category::System, "system.event"),
];

impl AuditEventType {
    /// The type's name.
    pub fn as_str(&self) -> &str {
        let named = NAMED.iter().find(|(known, ..)| known == self).map(|(_, name, ..)| *name);
        match (named, self) {
            (_, Self::Other(name)) => name,
            (named, _) => named.unwrap_or_default(),
        }
    }

    fn in_trail(self) -> (Category, String) {
        match NAMED.iter().find(|(known, ..)| *known == self) {
            Some((_, _, category, action)) => (category.clone(), (*action).to_owned()),
            None => (Category::default(), self.as_str().to_owned()),
        }
    }

    /// What all events of a category are, where it is one type's alone.
    fn whole_category(&self) -> Option<Category> {
        let (_, _, category, _) = NAMED.iter().find(|(known, ..)| known == self)?;
        (!matches!(category, Category::Workflow | Category::Admin)).then(|| category.clone())
    }

    fn of(category: &Category, action: &str) -> Self {
        let known = NAMED.iter().find(|(known, _, _, name)| match known.whole_category() {
            Some(whole) => whole == *category,
            None => *name == action,
        });
        known.map_or_else(|| Self::Other(action.to_owned()), |(known, ..)| known.clone())
    }

    /// Whether the trail's event is of this type.
    pub(super) fn is_of(&self, event: &Event) -> bool {
        Self::of(&event.category, &event.action) == *self
    }

    /// What narrows a search to this type: a category, or an action.
    pub(super) fn narrowed(&self) -> Result<Category, &str> {
        match (self.whole_category(), self) {
            (Some(category), _) => Ok(category),
            (None, Self::Other(action)) => Err(action),
            (None, known) => {
                let action = NAMED.iter().find(|(other, ..)| other == known);
                Err(action.map_or("", |(.., action)| *action))
            }
        }
    }
}

impl fmt::Display for AuditEventType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What kind of thing an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum ResourceType {
    Workflow,
    User,
    ApiKey,
    Secret,
    Configuration,
    Step,
    System,
    /// Any other.
    Other(String),
}

impl ResourceType {
    /// The type's name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Workflow => "workflow",
            Self::User => "user",
            Self::ApiKey => "api_key",
            Self::Secret => "secret",
            Self::Configuration => "configuration",
            Self::Step => "step",
            Self::System => "system",
            Self::Other(name) => name,
        }
    }

    fn parse(name: &str) -> Self {
        let named = [
            Self::Workflow,
            Self::User,
            Self::ApiKey,
            Self::Secret,
            Self::Configuration,
            Self::Step,
            Self::System,
        ];
        named.into_iter().find(|known| known.as_str() == name).unwrap_or_else(|| Self::Other(name.to_owned()))
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How something ended. An event of which nobody said it is [`Unknown`](AuditResult::Unknown), never a success.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditResult {
    /// It was done.
    Success,
    /// It was not, or it was denied, for this reason. In a filter an empty reason means any.
    Failure(String),
    /// A part of it was done.
    PartialSuccess,
    /// Nobody said how it ended, or nobody knows.
    Unknown,
}

impl AuditResult {
    /// The result's name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Success => "success",
            Self::Failure(_) => "failure",
            Self::PartialSuccess => "partial_success",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }

    /// Why it was not done.
    pub fn error_message(&self) -> Option<&str> {
        match self {
            Self::Failure(error) => Some(error),
            _ => None,
        }
    }

    fn in_trail(self) -> (Option<Outcome>, Option<String>) {
        match self {
            Self::Success => (Some(Outcome::Success), None),
            Self::Failure(error) => (Some(Outcome::Failure), Some(error)),
            Self::PartialSuccess => (Some(Outcome::Partial), None),
            Self::Unknown => (Some(Outcome::Unknown), None),
        }
    }

    fn of(outcome: Option<Outcome>, error: Option<String>) -> Self {
        match outcome {
            Some(Outcome::Success) => Self::Success,
            Some(Outcome::Failure | Outcome::Denied) => Self::Failure(error.unwrap_or_default()),
            Some(Outcome::Partial) => Self::PartialSuccess,
            Some(Outcome::Unknown) | None => Self::Unknown,
        }
    }

    /// Outcomes in a trail that read as this result.
    pub(super) fn outcomes(&self) -> Vec<Option<Outcome>> {
        match self {
            Self::Success => vec![Some(Outcome::Success)],
            Self::Failure(_) => vec![Some(Outcome::Failure), Some(Outcome::Denied)],
            Self::PartialSuccess => vec![Some(Outcome::Partial)],
            Self::Unknown => vec![Some(Outcome::Unknown), None],
        }
    }
}
