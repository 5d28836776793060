//! A closed range: one read-only SQLite file that holds posting lists, key buckets and column blocks as blobs.
//!
//! ```text
//! head(b)                 one row: what is kept in memory while the range is open (`Head`)
//! post(col, val, n, b)    the n rows that have the code `val`; the trail's own events under `col` + 16
//! hb(k, b)                k = kind << 20 | bucket: the rows that have a key there, and as much of its hash (`bucket.rs`)
//! colb(k, b)              k = column << 16 | block: a packed column of up to 4,000 rows; in the order of time: how far each
//!                         row is from its place
//! sums(col, b)            code and count of each value, as varints; without the trail's own events
//! ```
//! Every `b` ends with its checksum (`codec.rs`), and the head says which lists and buckets there are: what SQLite does
//! not find though it is there, since a page is damaged, is an error and not an empty answer. An `n` that is believed
//! without its list has a checksum of its own in its upper half.

mod bucket;
mod build;
mod file;
mod filter;
mod head;
mod kept;

pub(crate) use build::{Builder, Part, write};
pub(crate) use file::{HeldBlock, RangeFile};
pub(crate) use filter::IdFilter;
pub(crate) use head::Head;
pub(crate) use kept::may_keep;

use crate::codec::checksum;
use crate::schema::{CODED, Coded, Piece};

/// Codes of the trail's own events have their postings under the column's number plus this.
const SYSTEM_POSTINGS: u32 = 16;

/// The length of a longer list has a checksum, so that the list need not be read to count it.
const LEN_UNCHECKED_MAX: u32 = 1_024;

/// The length of a posting list as it stands beside it.
fn len_cell(column: u32, code: u32, n: u32) -> i64 {
    if n < LEN_UNCHECKED_MAX {
        return n.into();
    }
    let crc = checksum(Piece::PostingLen, &[column.into(), code.into(), n.into()], &[]);
    (u64::from(crc) << 32 | u64::from(n)).cast_signed()
}

/// Numbers of the column blocks.
const BLOCK_TIME: u32 = 0;
const BLOCK_OFFSET: u32 = 1;
const BLOCK_CODED: u32 = 2;
const BLOCK_ORDER: u32 = BLOCK_CODED + CODED as u32;

/// Columns of codes that have blocks, to gather facets from.
const WITH_BLOCKS: [Coded; 7] = [
    Coded::Tenant,
    Coded::Actor,
    Coded::Action,
    Coded::Category,
    Coded::Kind,
    Coded::Outcome,
    Coded::Severity,
];
