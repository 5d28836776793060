//! What the index keeps of an event: the columns, the kinds of keys, and their numbers on disk.

use trailseal_event::{NO_OUTCOME, Outcome, Severity};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The format that this code reads and writes.
pub(crate) const FORMAT: i64 = 5;
/// The most rows a range can have.
pub(crate) const RANGE_ROWS_MAX: usize = 1 << 18;
/// The most keys a range should have; it is closed early at this many.
pub(crate) const RANGE_KEYS_MAX: usize = 4_000_000;
/// Rows per column block: chosen so that two blocks with eight bits per row fit into a page of 8,192 bytes.
pub(crate) const BLOCK_ROWS: usize = 4_000;
/// Rows that share one record of their earliest and latest time.
pub(crate) const SPAN_ROWS: usize = 1_000;

/// Code for no value.
pub(crate) const ABSENT: u32 = 0;
/// Code for a value that is in no dictionary, because it is full or the value is long. It has a key instead.
pub(crate) const OTHER: u32 = 1;
/// The first code of a dictionary.
pub(crate) const FIRST_CODE: u32 = 2;

/// Kinds of pieces. Checksums cover the kind, so that no piece passes for one of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Piece {
    Head,
    Posting,
    PostingLen,
    Bucket,
    Block,
    Sums,
    Tail,
    Seed,
    State,
    RangeTimes,
    Retired,
}

/// Columns of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Coded {
    Tenant,
    /// Id and name together.
    Actor,
    OnBehalfOf,
    Action,
    Category,
    /// The resource's type; those of related ones are stored separately.
    Kind,
    Ip,
    Outcome,
    Severity,
    /// One of the `MARK_` constants.
    Mark,
}

/// How many columns of codes there are.
pub(crate) const CODED: usize = 10;
/// The first of them have a dictionary.
pub(crate) const DICTIONARIES: usize = 7;

impl Coded {
    pub(crate) const ALL: [Coded; CODED] = [
        Coded::Tenant,
        Coded::Actor,
        Coded::OnBehalfOf,
        Coded::Action,
        Coded::Category,
        Coded::Kind,
        Coded::Ip,
        Coded::Outcome,
        Coded::Severity,
        Coded::Mark,
    ];

    pub(crate) fn at(self) -> usize {
        self as usize
    }
}

/// An ordinary event.
pub(crate) const MARK_NONE: u32 = 0;
/// An event of the trail itself.
pub(crate) const MARK_SYSTEM: u32 = 1;
/// An unreadable line, or one that was retired: it matches nothing.
pub(crate) const MARK_UNREADABLE: u32 = 2;

/// Kinds of keys: values that are kept as a hash. The first are those of the dictionaries, for values that these do not
/// hold.
pub(crate) const KEY_ID: usize = DICTIONARIES;
pub(crate) const KEY_REQUEST: usize = DICTIONARIES + 1;
pub(crate) const KEY_CORRELATION: usize = DICTIONARIES + 2;
pub(crate) const KEY_SESSION: usize = DICTIONARIES + 3;
pub(crate) const KEY_TRACE: usize = DICTIONARIES + 4;
/// Type and id, and type and name, of the resource and of related ones.
pub(crate) const KEY_RESOURCE: usize = DICTIONARIES + 5;
pub(crate) const KEYS: usize = DICTIONARIES + 6;

/// Whether keys of this kind are 64 bits wide, so that they confuse two values only about once in a billion queries.
/// The others are 32 bits, since few events share an id, and the line decides.
pub(crate) fn is_wide(kind: usize) -> bool {
    kind < DICTIONARIES || matches!(kind, KEY_SESSION | KEY_RESOURCE)
}

/// Hashes of one index, with its own seed, so that nobody outside can choose values that collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hasher {
    pub(crate) seed: u64,
}

impl Hasher {
    /// The key of a value.
    pub(crate) fn key(self, kind: usize, text: &str) -> u64 {
        let hash = xxh3_64_with_seed(text.as_bytes(), self.seed);
        if is_wide(kind) { hash } else { hash & u64::from(u32::MAX) }
    }

    /// The key of a resource: its type with its id or name.
    pub(crate) fn resource(self, kind: &str, id: &str) -> u64 {
        xxh3_64_with_seed(id.as_bytes(), xxh3_64_with_seed(kind.as_bytes(), self.seed))
    }

    /// For a place in memory.
    pub(crate) fn bytes(self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed)
    }
}

/// A missing outcome is a value of its own, with the code after the last outcome: otherwise rows without a value would
/// be in no list.
const NO_OUTCOME_CODE: u32 = FIRST_CODE + Outcome::ALL.len() as u32;

pub(crate) fn outcome_code(outcome: Option<Outcome>) -> u32 {
    outcome.map_or(NO_OUTCOME_CODE, |outcome| code_in(&Outcome::ALL, outcome))
}

pub(crate) fn severity_code(severity: Severity) -> u32 {
    code_in(&Severity::ALL, severity)
}

fn code_in<T: PartialEq>(all: &[T], one: T) -> u32 {
    all.iter().position(|other| *other == one).map_or(ABSENT, |at| FIRST_CODE + at as u32)
}

/// The name of a code in a column that has a closed list instead of a dictionary.
pub(crate) fn listed_name(column: Coded, code: u32) -> Option<&'static str> {
    let at = code.checked_sub(FIRST_CODE)? as usize;
    match column {
        Coded::Outcome if code == NO_OUTCOME_CODE => Some(NO_OUTCOME),
        Coded::Outcome => Outcome::ALL.get(at).map(|outcome| outcome.name()),
        Coded::Severity => Severity::ALL.get(at).map(|severity| severity.name()),
        _ => None,
    }
}
