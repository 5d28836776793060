//! Reading a trail that another process, or nobody, writes to.

use std::path::Path;
use std::sync::Arc;

use trailseal_core::file::{Files, StdFiles};
use trailseal_core::{Folder, PersonalKeysIn, Reader, verify};
use trailseal_event::personal::PersonalKeys;

use crate::query::Finders;
use crate::{
    Index, Page, PersonalKeysOptions, Query, QueryError, ReadError, RecordedEvent, Verdict, VerifyError,
    VerifyOptions,
};

/// A read-only view of the trail in a folder, or of the slots in it, whether or not another process writes there. It writes
/// nothing, so its reads are not recorded.
///
/// While a writer is running, it sees what is on disk. If no process holds the trail, it sees everything that was accepted.
///
/// ```
/// use trailseal::{Event, Query, Trail, TrailView};
/// # let folder = tempfile::tempdir()?;
/// # let dir = folder.path();
/// let trail = Trail::open(dir)?;
/// trail.record(Event::new("invoice.approve"))?;
/// trail.flush(std::time::Duration::from_secs(10)).unwrap();
///
/// let view = TrailView::open(dir)?;
/// assert_eq!(view.query(Query::new())?.events[0].event.action, "invoice.approve");
/// assert!(view.verify(&Default::default())?.ok);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TrailView {
    finders: Finders,
    files: Arc<dyn Files>,
    personal: PersonalKeysOptions,
}

impl TrailView {
    /// Opens a folder for reading.
    ///
    /// # Errors
    /// When there is no trail, or it cannot be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<TrailView, QueryError> {
        let files: Arc<dyn Files> = Arc::new(StdFiles);
        let finders = Finders::new(dir.as_ref().to_owned(), files.clone());
        let view = TrailView { finders, files, personal: PersonalKeysOptions::default() };
        view.finders.with(|_| Ok(()))?;
        Ok(view)
    }

    /// The same view, with where the keys of personal values are, if not in the trail's folder: for queries that ask
    /// [for these in plain](Query::with_personal).
    #[must_use]
    pub fn with_keys(self, personal: PersonalKeysOptions) -> TrailView {
        TrailView { personal, ..self }
    }

    /// Finds events; see [`Query`].
    ///
    /// # Errors
    /// When the trail cannot be read.
    pub fn query(&self, query: impl Into<Query>) -> Result<Page, QueryError> {
        let query = query.into();
        let keys = if query.personal { Some(self.personal_keys()?) } else { None };
        let keys = keys.as_ref().map(|keys| keys as &dyn PersonalKeys);
        self.finders
            .with(|finder| finder.page(&query.filter, query.order, query.after.as_ref(), query.limit, keys))
    }

    /// The number of events that match a query, regardless of its limit.
    ///
    /// # Errors
    /// When the trail cannot be read.
    pub fn count(&self, query: impl Into<Query>) -> Result<u64, QueryError> {
        let query = query.into();
        self.finders.with(|finder| finder.count_all(&query.filter))
    }

    /// The event with this id; the newest if there are several.
    ///
    /// # Errors
    /// When the trail cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<RecordedEvent>, QueryError> {
        Ok(self.query(Query::new().id(id).limit(1))?.events.into_iter().next())
    }

    /// Verifies the trail against its newest signed checkpoint and against what was kept elsewhere. If there are several slots,
    /// verify each one separately.
    ///
    /// # Errors
    /// When the trail could not be checked. Damage and tampering are not errors but part of the verdict.
    pub fn verify(&self, options: &VerifyOptions) -> Result<Verdict, VerifyError> {
        verify::verify(&Folder::new(self.finders.dir(), self.files.clone()), options)
    }

    /// The newest signed checkpoint, to be kept elsewhere.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn checkpoint(&self) -> Result<String, ReadError> {
        Ok(self.reader()?.checkpoint()?.0)
    }

    /// The proof that the event at `index` is in the trail: a C2SP `.tlog-proof`, with its line.
    ///
    /// # Errors
    /// When it is not sealed yet, was changed, or cannot be read.
    pub fn prove(&self, index: Index) -> Result<String, ReadError> {
        Ok(self.reader()?.prove(index)?.to_text())
    }

    fn personal_keys(&self) -> Result<PersonalKeysIn, QueryError> {
        let (dir, files) = (self.finders.dir(), self.files.clone());
        PersonalKeysIn::open(dir, files, self.personal.clone()).map_err(QueryError::Keys)
    }

    fn reader(&self) -> Result<Reader, ReadError> {
        Reader::open(self.finders.dir(), self.files.clone())
    }
}
