//! What a view of a trail says about events that are gone.

use trailseal_event::{Index, Value};

use super::{ReadError, Reader, io_at};
use crate::retire::{announced_by, announces, find_in, parse_ids_name};
use crate::segment::{RetiredList, SegmentFile, retired_in};
use crate::trail::recording::ids::retired_id;

/// An event that was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetiredEvent {
    /// Its index.
    pub index: Index,
    /// The event `trail.retired` that says so; `None` if it cannot be found.
    pub by: Option<Index>,
}

impl Reader {
    /// How many events of this view were retired, according to the lists beside its segments.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn retired(&self) -> Result<u64, ReadError> {
        let segments = retired_in(&self.folder).map_err(io_at(&self.folder.segments_folder()))?;
        Ok(segments.iter().map(|segment| segment.retired).sum())
    }

    /// Whether the event at `index` was retired, and by which event. Ask only for one that this view does not have.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn retired_at(&mut self, index: Index) -> Result<Option<RetiredEvent>, ReadError> {
        if index >= self.end() {
            return Ok(None);
        }
        let Some(segment) = self.segment_at(index)? else { return Ok(None) };
        let list = self.list_of(segment.first)?;
        let Some(bytes) = list.covers(index.get()..index.get() + 1) else { return Ok(None) };
        Ok(Some(RetiredEvent { index, by: self.announced(segment.first, bytes)? }))
    }

    /// The retired events that had this id: of this tenant, or, with `None`, of any.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn retired_by_id(&mut self, id: &str, tenant: Option<&str>) -> Result<Vec<RetiredEvent>, ReadError> {
        let wanted = retired_id(id, tenant);
        let folder = self.folder.segments_folder();
        let files = self.folder.files().clone();
        let mut found = Vec::new();
        for name in files.list(&folder).map_err(io_at(&folder))? {
            let Some((first, bytes)) = parse_ids_name(&name) else { continue };
            let path = folder.join(&name);
            let places = match find_in(&*files, &path, &wanted, tenant.is_none()) {
                // Undone meanwhile, since nothing has announced it: then its events are still there.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                found => found.map_err(io_at(&path))?,
            };
            for place in places {
                let index = Index::new(first.get() + place);
                // Announced and not yet gone, or not announced at all: then it can be read.
                let mut is_there = false;
                self.for_each(index.get()..index.get() + 1, &mut |_, _| {
                    is_there = true;
                    std::ops::ControlFlow::Break(())
                })?;
                if !is_there {
                    found.push(RetiredEvent { index, by: self.announced(first, bytes)? });
                }
            }
        }
        found.sort_unstable_by_key(|event| event.index);
        found.dedup();
        Ok(found)
    }

    /// The event that announced the first `bytes` of a segment's list: the first that covers them.
    fn announced(&mut self, first: Index, bytes: u64) -> Result<Option<Index>, ReadError> {
        let noted = announced_by(&self.folder).map_err(io_at(self.folder.root()))?;
        for event in noted {
            let mut is_it = false;
            self.for_each(event.get()..event.get() + 1, &mut |_, line| {
                is_it = Value::parse(line).is_ok_and(|line| announces(&line, first, bytes));
                std::ops::ControlFlow::Break(())
            })?;
            if is_it {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn segment_at(&self, index: Index) -> Result<Option<SegmentFile>, ReadError> {
        let folder = self.folder.segments_folder();
        let segments = self.folder.segments_and_gone().map_err(io_at(&folder))?;
        let after = segments.partition_point(|segment| segment.first <= index);
        Ok(after.checked_sub(1).and_then(|at| segments.into_iter().nth(at)))
    }

    fn list_of(&self, first: Index) -> Result<RetiredList, ReadError> {
        let folder = self.folder.segments_folder();
        RetiredList::load(&**self.folder.files(), &folder, first).map_err(io_at(&folder))
    }
}
