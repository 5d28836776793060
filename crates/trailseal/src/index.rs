//! The embedded index beside a trail.

use trailseal_core::{Notice, Trail};
use trailseal_index::{IndexOptions, IndexedIds, Indexer};

/// Lets the trail's events go into its index. It is derived: where it cannot be written, events are recorded all the same,
/// and found by a scan.
pub(crate) fn attach(trail: &Trail, on_notice: Option<&trailseal_core::OnNotice>) {
    let folder = trail.folder().root().join(trailseal_index::FOLDER);
    let options = IndexOptions::new(trail.origin());
    let failed = |reason: String| {
        if let Some(on_notice) = on_notice {
            on_notice(&Notice::DeliveryFailed { sink: "index".into(), reason });
        }
    };
    match Indexer::open(&folder, options.clone()) {
        Ok(indexer) => {
            trail.look_ids_up_in(Box::new(IndexedIds::new(&folder, &options)));
            if let Err(error) = trail.deliver_to_store(Box::new(indexer)) {
                failed(error.to_string());
            }
        }
        Err(error) => failed(error.to_string()),
    }
}
