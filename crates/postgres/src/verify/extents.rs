//! What each partition is said to hold of an origin: readers leave partitions out by it, so a wrong one hides events.

use std::collections::BTreeMap;

use trailseal_core::verify::Problem;

use super::finding::Finding;
use super::pass::Row;

/// Indexes, the smallest effective time (in the server's own microseconds), and the number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) time_min: i64,
    pub(super) rows: i64,
}

/// The extents of one origin as they are stored, and as its rows give them.
pub(super) struct Extents {
    stored: BTreeMap<String, Extent>,
    found: BTreeMap<u32, Extent>,
    /// The names of the partitions.
    names: BTreeMap<u32, String>,
}

impl Extents {
    pub(super) fn new(stored: BTreeMap<String, Extent>, names: BTreeMap<u32, String>) -> Extents {
        Extents { stored, found: BTreeMap::new(), names }
    }

    pub(super) fn add(&mut self, row: &Row<'_>) {
        let Row { index, time, .. } = *row;
        let one = Extent { first: index, last: index, time_min: time, rows: 0 };
        let extent = self.found.entry(row.partition).or_insert(one);
        extent.first = extent.first.min(index);
        extent.last = extent.last.max(index);
        extent.time_min = extent.time_min.min(time);
        extent.rows += 1;
    }

    /// Where rows were retired, the smallest time may be an earlier one: then readers look where nothing is, and miss nothing.
    pub(super) fn finding(&self, has_retired: bool) -> Option<Finding> {
        let found =
            self.found.iter().map(|(oid, extent)| (self.names.get(oid).map_or("", String::as_str), extent));
        for (name, extent) in found.clone() {
            let fits = |stored: &&Extent| {
                let is_early = has_retired && stored.time_min < extent.time_min;
                let time_min = if is_early { extent.time_min } else { stored.time_min };
                Extent { time_min, ..**stored } == *extent
            };
            if self.stored.get(name).filter(fits).is_none() {
                return Some(differs(name, extent.first));
            }
        }
        let is_found = |name: &str| found.clone().any(|(found, _)| found == name);
        let (name, extent) = self.stored.iter().find(|(name, _)| !is_found(name))?;
        Some(differs(name, extent.first))
    }
}

fn differs(partition: &str, first: i64) -> Finding {
    let message = format!(
        "what extents says of {partition} does not fit its rows, so searches leave events out; the lines are as they were \
         signed"
    );
    Finding::at(u64::try_from(first).unwrap_or(0), Problem::StoreDiffers, message)
}
