//! The request that is being handled: who made it and from where. Events recorded meanwhile take from it the fields that
//! they lack.
//!
//! A context belongs to a piece of work, not to a thread: it is entered at each poll of a future and left after it, even
//! by a panic. What must hold: no event gets the context of another request.

use std::borrow::Cow;
use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::{Actor, Context, Event};

thread_local! {
    static CURRENT: RefCell<Option<RequestContext>> = const { RefCell::new(None) };
}

/// Who made the request that is being handled, and where it came from. Cheap to clone; all clones are the same request's.
///
/// ```
/// use trailseal::{Event, RequestContext, Trail};
///
/// let trail = Trail::temporary()?;
/// let request = RequestContext::new();
/// request.change(|facts| facts.context.ip = Some("203.0.113.7".into()));
/// request.enter(|| trail.record(Event::new("invoice.approve")))?;
///
/// let page = trail.query(trailseal::Query::new())?;
/// assert_eq!(page.events[0].event.context.ip.as_deref(), Some("203.0.113.7"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    facts: Arc<Mutex<RequestFacts>>,
}

/// What a [`RequestContext`] adds to events that lack it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RequestFacts {
    /// Where the request came from. Each field is used separately.
    pub context: Context,
    /// Who made it, for events without an actor.
    pub actor: Option<Actor>,
    /// Whose data it concerns, for events without a tenant.
    pub tenant: Option<String>,
}

/// The texts of a context.
const TEXTS: [fn(&mut Context) -> &mut Option<String>; 11] = [
    |context| &mut context.ip,
    |context| &mut context.user_agent,
    |context| &mut context.request_id,
    |context| &mut context.correlation_id,
    |context| &mut context.session_id,
    |context| &mut context.trace_id,
    |context| &mut context.span_id,
    |context| &mut context.component,
    |context| &mut context.service,
    |context| &mut context.version,
    |context| &mut context.host,
];

impl RequestContext {
    /// A context of which nothing is known yet.
    pub fn new() -> Self {
        RequestContext::default()
    }

    /// A context of which this is known.
    #[cfg(feature = "tower")]
    pub(crate) fn of(facts: RequestFacts) -> Self {
        RequestContext { facts: Arc::new(Mutex::new(facts)) }
    }

    /// The context of the request that is being handled here, if any.
    pub fn current() -> Option<RequestContext> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Adds what has become known, such as the user once it was authenticated. Applies to events recorded afterwards.
    ///
    /// The closure works on a copy of the facts; it may record events or change them again. Its changes take effect field by
    /// field when it returns. If several threads change one field at the same time, the last to return wins.
    pub fn change<R>(&self, change: impl FnOnce(&mut RequestFacts) -> R) -> R {
        // Not under the lock, which whatever records needs, too.
        let before = self.facts().clone();
        let mut after = before.clone();
        let done = change(&mut after);
        self.facts().take_changes(before, after);
        done
    }

    /// Runs `work` in this context: on a thread of its own, or in code that does not await.
    pub fn enter<R>(&self, work: impl FnOnce() -> R) -> R {
        let _entered = Entered::new(Some(self.clone()));
        work()
    }

    /// Runs the future in this context, on whichever thread polls it.
    pub fn scope<F: Future>(self, future: F) -> InContext<F> {
        InContext { context: Some(self), future: Some(Box::pin(future)) }
    }

    fn facts(&self) -> MutexGuard<'_, RequestFacts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, event: &mut Event) {
        let mut facts = self.facts();
        for field in TEXTS {
            let known = field(&mut facts.context);
            let field = field(&mut event.context);
            if field.is_none() && known.is_some() {
                field.clone_from(known);
            }
        }
        if event.actor.is_none() {
            event.actor.clone_from(&facts.actor);
        }
        if event.tenant.is_none() {
            event.tenant.clone_from(&facts.tenant);
        }
        for (key, value) in facts.context.extra.iter() {
            if !event.context.extra.contains_key(key) {
                event.context.extra.insert(key, value.clone());
            }
        }
    }
}

impl RequestFacts {
    /// Takes over what somebody changed from `before` to `after`. What others changed meanwhile stays.
    fn take_changes(&mut self, mut before: RequestFacts, mut after: RequestFacts) {
        for field in TEXTS {
            let changed = std::mem::take(field(&mut after.context));
            take_change(field(&mut self.context), field(&mut before.context), changed);
        }
        take_change(&mut self.actor, &before.actor, after.actor);
        take_change(&mut self.tenant, &before.tenant, after.tenant);
        for (key, _) in before.context.extra.iter() {
            if !after.context.extra.contains_key(key) {
                self.context.extra.remove(key);
            }
        }
        for (key, value) in after.context.extra {
            if before.context.extra.get(&key) != Some(&value) {
                self.context.extra.insert(key, value);
            }
        }
    }
}

fn take_change<T: PartialEq>(place: &mut T, before: &T, after: T) {
    if after != *before {
        *place = after;
    }
}

/// Runs the future in the context of the request that is being handled here. Use it for tasks that a request spawns.
///
/// ```
/// # async fn handler(trail: trailseal::Trail) {
/// tokio::spawn(trailseal::in_context(async move {
///     let _ = trail.record_async(trailseal::Event::new("report.make")).await;
/// }));
/// # }
/// ```
pub fn in_context<F: Future>(future: F) -> InContext<F> {
    InContext { context: RequestContext::current(), future: Some(Box::pin(future)) }
}

/// A future in a [`RequestContext`].
#[must_use = "futures do nothing unless they are polled"]
pub struct InContext<F> {
    context: Option<RequestContext>,
    /// Taken when it is dropped: what it drops then is its request's, too.
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _entered = Entered::new(this.context.clone());
        match &mut this.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for InContext<F> {
    fn drop(&mut self) {
        let _entered = Entered::new(self.context.take());
        self.future = None;
    }
}

/// While it lives, a context is the thread's.
struct Entered {
    before: Option<RequestContext>,
}

impl Entered {
    fn new(context: Option<RequestContext>) -> Entered {
        // At a thread's end there is no context any more, and nothing to restore.
        Entered { before: CURRENT.try_with(|current| current.replace(context)).unwrap_or_default() }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        if !cfg!(trailseal_fault = "context_left_behind") {
            let _ = CURRENT.try_with(|current| current.replace(before));
        }
    }
}

/// Adds to the event what the request's context knows and the event does not say. In its place: an event is large.
pub(crate) fn fill(event: &mut Cow<'_, Event>) {
    let _ = CURRENT.try_with(|current| {
        if let Some(context) = &*current.borrow() {
            context.fill(event.to_mut());
        }
    });
}

/// The work in the context of the request that is being handled here, on whatever thread it is done.
pub(crate) fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let context = RequestContext::current();
    move || within(context, work)
}

/// Does `work` in a context that was kept for it, or in none, whatever is being handled here.
pub(crate) fn within<T>(context: Option<RequestContext>, work: impl FnOnce() -> T) -> T {
    let _entered = (!cfg!(trailseal_fault = "kept_context_not_entered")).then(|| Entered::new(context));
    work()
}
