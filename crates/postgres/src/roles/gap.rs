//! Something that is missing in how a store is guarded.

use std::time::Duration;

/// A question to the store may take so long.
pub(super) const ASK_WITHIN: Duration = Duration::from_secs(20);

/// What kind of gap it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapKind {
    /// Tables or columns are missing.
    Schema,
    /// What is stored can be changed without an alarm of the database itself.
    AppendOnly,
    /// Row-level security does not keep tenants apart.
    Tenants,
    /// The role may do more than it needs.
    Roles,
    /// Partitions stand in the way.
    Partitions,
    /// The server may lose what it said was stored.
    Durability,
}

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What kind it is.
    pub kind: GapKind,
    /// What is missing.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}
