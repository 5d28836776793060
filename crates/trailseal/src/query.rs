//! Queries, and their results.

#[cfg(not(feature = "index"))]
mod scan;

#[cfg(feature = "index")]
mod indexed;
mod query_as_event;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use trailseal_core::file::Files;
use trailseal_core::{ReadError, clock::Clock as _, clock::SystemClock};
use trailseal_event::personal::{PersonalKeys, reveal};
use trailseal_event::{Recorded, Truncation};

use crate::time::timestamp;
use crate::{
    Category, Event, Filter, FilterError, FlushError, IdFilter, Index, Object, Outcome, PersonalKeysError,
    ResourceFilter, Severity, Timestamp, Value,
};

#[cfg(feature = "index")]
pub(crate) use indexed::Finder;
#[cfg(not(feature = "index"))]
pub(crate) use scan::Finder;

/// The number of events on a page unless a query sets another.
const LIMIT: usize = 50;

/// Which events to find, in which order, and how many at a time. Several values of one field match any of them; different
/// fields must all match.
///
/// ```
/// use std::time::Duration;
/// use trailseal::{Event, Outcome, Query, Trail};
///
/// let trail = Trail::temporary()?;
/// trail.record(Event::new("user.login").actor("u1").outcome(Outcome::Denied))?;
/// let denied = Query::new().action("user.*").outcome(Outcome::Denied).last(Duration::from_secs(3600)).limit(10);
/// assert_eq!(trail.query(denied)?.events[0].event.action, "user.login");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) filter: Filter,
    pub(crate) order: Order,
    pub(crate) limit: usize,
    pub(crate) after: Option<Cursor>,
    pub(crate) personal: bool,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            filter: Filter::default(),
            order: Order::default(),
            limit: LIMIT,
            after: None,
            personal: false,
        }
    }
}

impl From<Filter> for Query {
    fn from(filter: Filter) -> Self {
        Query { filter, ..Query::default() }
    }
}

/// The order of the results. *Time* is the event's own time, but never later than when it was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By time, the newest first.
    #[default]
    Newest,
    /// By time, the oldest first.
    Oldest,
    /// By when they were recorded, the newest first.
    NewestRecorded,
    /// By when they were recorded, the oldest first.
    OldestRecorded,
}

impl Query {
    /// Every event but the trail's own, newest first, 50 at a time.
    pub fn new() -> Self {
        Query::default()
    }

    /// Only events of this tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.filter.tenant.push(tenant.into());
        self
    }

    /// Of the actor with this id or name.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.filter.actor.push(actor.into());
        self
    }

    /// With this action; `*` is any text, `?` any character.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.filter.action.push(action.into());
        self
    }

    /// Of this category.
    #[must_use]
    pub fn category(mut self, category: Category) -> Self {
        self.filter.category.push(category);
        self
    }

    /// About this resource.
    #[must_use]
    pub fn resource(mut self, kind: impl Into<String>, id: impl Into<String>) -> Self {
        self.filter.resource.push(ResourceFilter { kind: kind.into(), id: Some(id.into()) });
        self
    }

    /// About any resource of this type.
    #[must_use]
    pub fn resource_type(mut self, kind: impl Into<String>) -> Self {
        self.filter.resource.push(ResourceFilter { kind: kind.into(), id: None });
        self
    }

    /// With this outcome; `None` for events without one.
    #[must_use]
    pub fn outcome(mut self, outcome: impl Into<Option<Outcome>>) -> Self {
        self.filter.outcome.push(outcome.into());
        self
    }

    /// Of this severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.filter.severity.push(severity);
        self
    }

    /// Of the request with this id.
    #[must_use]
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.filter.request_id.push(request_id.into());
        self
    }

    /// With this id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.filter.id.push(IdFilter::Id(id.into()));
        self
    }

    /// With this text anywhere.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.filter.text.push(text.into());
        self
    }

    /// At or after this time: a [`SystemTime`], or a time of chrono, jiff or time.
    #[must_use]
    pub fn since(mut self, time: impl Into<SystemTime>) -> Self {
        self.filter.since = Some(timestamp(time.into()));
        self
    }

    /// Before this time.
    #[must_use]
    pub fn until(mut self, time: impl Into<SystemTime>) -> Self {
        self.filter.until = Some(timestamp(time.into()));
        self
    }

    /// No older than this.
    #[must_use]
    pub fn last(self, age: Duration) -> Self {
        self.since(SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// One more filter by its name on the command line, such as `correlation_id`, and its value, such as `24h`.
    ///
    /// # Errors
    /// When there is no such filter, or it cannot have this value.
    pub fn by(mut self, name: &str, value: &str) -> Result<Self, FilterError> {
        self.filter.set(name, value, SystemClock.now())?;
        Ok(self)
    }

    /// Includes the trail's own events.
    #[must_use]
    pub fn with_system(mut self) -> Self {
        self.filter.system = true;
        self
    }

    /// Shows personal values in plain text, where the trail or the view has their keys. Otherwise each is the text `erasable`.
    /// The event `trail.read` says so.
    #[must_use]
    pub fn with_personal(mut self) -> Self {
        self.personal = true;
        self
    }

    /// Sets the order.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets the maximum number of events on a page.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Continues where a page ended: pass its `next`.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }
}

/// Where the next page begins. Opaque; use [`Display`](fmt::Display) and [`FromStr`] to pass it through a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub(crate) String);

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Cursor {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Cursor(text.to_owned()))
    }
}

/// One page of results.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The events, in the requested order.
    pub events: Vec<RecordedEvent>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// An event as a trail holds it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecordedEvent {
    /// The name of its trail.
    pub origin: Arc<str>,
    /// Its position there.
    pub index: Index,
    /// When it was recorded, by the trail's own clock.
    pub recorded: Timestamp,
    /// Its time, but never later than when it was recorded.
    pub time: Timestamp,
    /// The event. Its `changes` include those that were derived. [`Event::to_json`] gives it as JSON.
    pub event: Event,
    /// Whether the trail itself made it.
    pub system: bool,
    /// The token or process that handed it in.
    pub recorded_by: Option<String>,
    /// Paths that were masked.
    pub masked: Vec<String>,
    /// Fields that were cut.
    pub truncated: Vec<Truncation>,
    /// The share of events like this one that is kept.
    pub sample_rate: Option<f64>,
    /// The line's exact bytes: what is hashed, sealed and proved. Personal values in it are cipher text, whoever reads.
    pub line: Vec<u8>,
    /// The line with personal values as they are shown; `None` if it has none.
    shown: Option<Vec<u8>>,
}

impl RecordedEvent {
    /// The event that was read from a line, with its personal values in plain, or as the word that says why they are not.
    pub(crate) fn of_line(
        origin: Arc<str>,
        recorded: Recorded,
        line: &[u8],
        keys: Option<&dyn PersonalKeys>,
    ) -> RecordedEvent {
        let revealed = match reveal(line, keys) {
            Cow::Borrowed(_) => None,
            Cow::Owned(shown) => Event::from_line(&shown).ok().map(|recorded| (recorded, shown)),
        };
        match revealed {
            None => RecordedEvent::new(origin, recorded, line.to_vec()),
            Some((recorded, shown)) => {
                RecordedEvent { shown: Some(shown), ..RecordedEvent::new(origin, recorded, line.to_vec()) }
            }
        }
    }

    pub(crate) fn new(origin: Arc<str>, recorded: Recorded, line: Vec<u8>) -> RecordedEvent {
        RecordedEvent {
            shown: None,
            origin,
            index: Index::new(recorded.index),
            recorded: recorded.recorded,
            time: recorded.effective_time(),
            event: recorded.event,
            system: recorded.system,
            recorded_by: recorded.recorded_by,
            masked: recorded.masked,
            truncated: recorded.truncated,
            sample_rate: recorded.sample_rate,
            line,
        }
    }

    /// The value at a dotted path of the line, such as `actor.id` or `details.amount`.
    pub fn get(&self, path: &str) -> Option<Value> {
        Value::parse(self.shown.as_ref().unwrap_or(&self.line)).ok()?.get_path(path).cloned()
    }
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Earlier events are not on disk, so they cannot be shown yet.
    #[error("what was recorded before is not on disk, so it cannot be shown yet")]
    NotDurable(#[from] FlushError),
    /// The trail could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The folder of trails could not be listed.
    #[error("could not list the trails in {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The index could not be read.
    #[cfg(feature = "index")]
    #[error("could not search the trail by its index")]
    Index(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The keys of personal values could not be read, and the query asks for these in plain text.
    #[error("could not read the keys of personal values")]
    Keys(#[source] PersonalKeysError),
    /// The cursor belongs to another order, or did not come from a trail.
    #[error("the cursor does not belong to this query: start without one")]
    Cursor,
    /// The work was abandoned.
    #[error("the search panicked, or the runtime that did it was stopped")]
    Stopped,
}

/// The finder of a folder, kept from one query to the next. Queries at the same time have one each, and one of them stays.
pub(crate) struct Finders {
    place: Place,
    kept: Mutex<Option<Finder>>,
}

impl Finders {
    pub(crate) fn new(dir: PathBuf, files: Arc<dyn Files>) -> Finders {
        Finders { place: Place { dir, files }, kept: Mutex::default() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// Does `work` with a finder that sees everything that is readable now.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&mut Finder) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        // Taken out, so that queries at the same time do not wait for each other, and one that failed is opened anew.
        let kept = self.kept().take();
        let open = || Finder::open(self.place.clone());
        let mut finder = match kept {
            Some(mut finder) => finder.refresh().map(|()| finder).or_else(|_| open())?,
            None => open()?,
        };
        let found = work(&mut finder)?;
        *self.kept() = Some(finder);
        Ok(found)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Finder>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which trails are searched.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) files: Arc<dyn Files>,
}

/// Whether an event that matches a filter is wanted, for what no filter says.
pub(crate) type Wanted<'a> = dyn Fn(&Event) -> bool + 'a;

/// What no filter says, and how the event `trail.read` tells it.
pub(crate) struct Besides<'a> {
    pub(crate) wanted: &'a Wanted<'a>,
    pub(crate) told: &'a Object,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc;

    use super::*;
    use crate::Trail;

    #[test]
    fn a_query_does_not_wait_for_another() {
        let trail = Trail::temporary().unwrap();
        trail.record(Event::new("door.open")).unwrap();
        let wanted = |_: &Event| {
            let (trail, (tell, told)) = (trail.clone(), mpsc::channel());
            std::thread::spawn(move || tell.send(trail.count(Query::new()).unwrap()));
            told.recv_timeout(Duration::from_secs(60)) == Ok(1)
        };
        let besides = Besides { wanted: &wanted, told: &Object::new() };
        assert_eq!(trail.count_matching(&Query::new(), &besides).unwrap(), 1, "the other query waits");
    }
}
