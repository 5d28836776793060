//! What is missing in how the shared store is guarded.

use trailseal_core::deliver::MustEnd;
use trailseal_postgres::VERSION;
use trailseal_postgres::roles::{Gap, GapKind, gaps};
use trailseal_postgres::{StoreError, StoreUrl, version};

/// The code of each gap, and the gap.
pub(super) fn look(url: &StoreUrl) -> Vec<(&'static str, Gap)> {
    // Why it cannot be asked, another finding says.
    examine(url).unwrap_or_default().into_iter().map(|gap| (code(gap.kind), gap)).collect()
}

fn examine(url: &StoreUrl) -> Result<Vec<Gap>, StoreError> {
    let mut connection = url.connect(&MustEnd::default())?;
    match version(&mut connection)? {
        // Without a version the table of versions may be what is missing.
        Some(VERSION) | None => gaps(&mut connection),
        Some(_) => Ok(Vec::new()),
    }
}

fn code(kind: GapKind) -> &'static str {
    match kind {
        GapKind::Schema => "store_schema",
        GapKind::AppendOnly => "store_append_only",
        GapKind::Tenants => "store_tenants",
        GapKind::Roles => "store_roles",
        GapKind::Partitions => "store_partitions",
        _ => "store_durability",
    }
}
