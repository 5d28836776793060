//! Builds events for Rust callers.

use super::{
    Actor, Category, Context, Event, Number, Object, OnBehalfOf, Outcome, Resource, Severity, Value,
};
use crate::timestamp::Timestamp;

/// Every method sets one thing and returns the event.
///
/// ```
/// use trailseal_event::{Category, Event, Object, Outcome};
///
/// let event = Event::new("user.role.change")
///     .category(Category::Admin)
///     .tenant("acme")
///     .actor("u1")
///     .actor_kind("user")
///     .resource("user", "u2")
///     .outcome(Outcome::Denied)
///     .before(Object::from_iter([("role", "user")]))
///     .after(Object::from_iter([("role", "admin")]))
///     .detail("ticket", "T-17")
///     .ip("203.0.113.7");
/// assert_eq!(event.details.get("ticket").and_then(|ticket| ticket.as_str()), Some("T-17"));
/// ```
impl Event {
    /// An event for the action `action`, such as `user.login`.
    pub fn new(action: impl Into<String>) -> Self {
        Event { action: action.into(), ..Event::default() }
    }

    /// The caller's own id, used to detect duplicates.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// When it happened.
    #[must_use]
    pub fn time(mut self, time: Timestamp) -> Self {
        self.time = Some(time);
        self
    }

    /// Whose data the event concerns.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The kind of event.
    #[must_use]
    pub fn category(mut self, category: Category) -> Self {
        self.category = category;
        self
    }

    /// A sentence for people.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// How serious it is.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The outcome.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// Why it failed. Sets the outcome to [`Outcome::Failure`] unless one was set before.
    #[must_use]
    pub fn error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self.outcome.get_or_insert(Outcome::Failure);
        self
    }

    /// Who did it, by id.
    #[must_use]
    pub fn actor(mut self, id: impl Into<String>) -> Self {
        self.actor_mut().id = Some(id.into());
        self
    }

    /// What the actor is, such as `user` or `service`.
    #[must_use]
    pub fn actor_kind(mut self, kind: impl Into<String>) -> Self {
        self.actor_mut().kind = Some(kind.into());
        self
    }

    /// The actor's name for people.
    #[must_use]
    pub fn actor_name(mut self, name: impl Into<String>) -> Self {
        self.actor_mut().name = Some(name.into());
        self
    }

    /// The actor's e-mail address.
    #[must_use]
    pub fn actor_email(mut self, email: impl Into<String>) -> Self {
        self.actor_mut().email = Some(email.into());
        self
    }

    /// One role that the actor held; may be called again.
    #[must_use]
    pub fn actor_role(mut self, role: impl Into<String>) -> Self {
        self.actor_mut().roles.push(role.into());
        self
    }

    /// For whom it was done, and why.
    #[must_use]
    pub fn on_behalf_of(mut self, id: impl Into<String>, reason: impl Into<String>) -> Self {
        let known = self.on_behalf_of.get_or_insert_with(OnBehalfOf::default);
        (known.id, known.reason) = (Some(id.into()), Some(reason.into()));
        self
    }

    /// What it was done to, by type and id.
    #[must_use]
    pub fn resource(mut self, kind: impl Into<String>, id: impl Into<String>) -> Self {
        let known = self.resource.get_or_insert_with(Resource::default);
        (known.kind, known.id) = (Some(kind.into()), Some(id.into()));
        self
    }

    /// The resource's name for people.
    #[must_use]
    pub fn resource_name(mut self, name: impl Into<String>) -> Self {
        self.resource.get_or_insert_with(Resource::default).name = Some(name.into());
        self
    }

    /// One more affected resource; may be called again.
    #[must_use]
    pub fn related(mut self, kind: impl Into<String>, id: impl Into<String>) -> Self {
        self.related.push(Resource::new(kind, id));
        self
    }

    /// The resource's state before: a [`Value`], or what becomes one. The crate `trailseal` has `to_value` for any type that
    /// serde can serialise, such as `to_value(&json!({"amount": 100}))?`.
    #[must_use]
    pub fn before(mut self, before: impl Into<Value>) -> Self {
        self.before = Some(before.into());
        self
    }

    /// The resource's state after, as [`before`](Event::before).
    #[must_use]
    pub fn after(mut self, after: impl Into<Value>) -> Self {
        self.after = Some(after.into());
        self
    }

    /// What changed; derived from before and after when they are objects and this is not called.
    #[must_use]
    pub fn changes(mut self, changes: impl Into<Value>) -> Self {
        self.changes = Some(changes.into());
        self
    }

    /// One more detail.
    #[must_use]
    pub fn detail(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.details.insert(key, value);
        self
    }

    /// All details at once, in place of those that were there.
    #[must_use]
    pub fn details(mut self, details: Object) -> Self {
        self.details = details;
        self
    }

    /// Where the event came from, all at once.
    #[must_use]
    pub fn context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// The network address it came from.
    #[must_use]
    pub fn ip(mut self, ip: impl Into<String>) -> Self {
        self.context.ip = Some(ip.into());
        self
    }

    /// The program it came from, as it names itself.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.context.user_agent = Some(user_agent.into());
        self
    }

    /// The request it belongs to.
    #[must_use]
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.context.request_id = Some(request_id.into());
        self
    }

    /// The chain of requests it belongs to.
    #[must_use]
    pub fn correlation_id(mut self, correlation_id: impl Into<String>) -> Self {
        self.context.correlation_id = Some(correlation_id.into());
        self
    }

    /// How long it took, in milliseconds.
    #[must_use]
    pub fn duration_ms(mut self, duration_ms: u64) -> Self {
        self.duration_ms = Some(Number::from(duration_ms));
        self
    }

    /// Opaque approval data.
    #[must_use]
    pub fn approval(mut self, approval: impl Into<Value>) -> Self {
        self.approval = Some(approval.into());
        self
    }

    /// One more field of your own, besides the known ones.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(key, value);
        self
    }

    fn actor_mut(&mut self) -> &mut Actor {
        self.actor.get_or_insert_with(Actor::default)
    }
}

impl Actor {
    /// An actor with the id `id`; what else is known of it is set in its fields.
    ///
    /// ```
    /// use trailseal_event::Actor;
    ///
    /// let mut actor = Actor::new("u1");
    /// actor.name = Some("Ana Sousa".to_owned());
    /// ```
    pub fn new(id: impl Into<String>) -> Self {
        Actor { id: Some(id.into()), ..Actor::default() }
    }
}

impl Resource {
    /// A resource by its type and id.
    ///
    /// ```
    /// use trailseal_event::{Event, Resource};
    ///
    /// let mut event = Event::new("order.merge").resource("order", "1");
    /// event.related.push(Resource::new("order", "2"));
    /// assert_eq!(event, Event::new("order.merge").resource("order", "1").related("order", "2"));
    /// ```
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Resource { kind: Some(kind.into()), id: Some(id.into()), ..Resource::default() }
    }
}
