//! Whether the trail still has the ids of the events that it has retired.

use trailseal_core::Folder;
use trailseal_core::retired::{AnnouncedList, announced_since};
use trailseal_event::Index;

/// What is wrong; `None` if nothing is, or what can be read does not tell.
pub(super) fn look(folder: &Folder) -> Option<String> {
    let announcements = announced_since(folder, Index::new(0)).ok()?;
    let lists = announcements.iter().flat_map(|announcement| &announcement.lists);
    let lacks =
        |list: &&AnnouncedList| list.ids.is_some() && list.load_ids(folder).is_ok_and(|ids| ids.is_none());
    let lacking: Vec<_> = lists.filter(lacks).collect();
    let first = lacking.first()?;
    Some(format!(
        "the ids of retired events are missing or changed in {} retired segments, the first of which begins with event {}: \
         such an event, sent again, is recorded as a new one",
        lacking.len(),
        first.first
    ))
}
