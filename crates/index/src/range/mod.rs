//! A closed range: one read-only SQLite file that holds posting lists, key buckets and column blocks as blobs.
//!
//! ```text
//! head(b)                 one row: what is kept in memory while the range is open (`Head`)
//! post(col, val, n, b)    the n rows that have the code `val`; the trail's own events under `col` + 16
//! hb(k, b)                k = kind << 20 | bucket: the rows that have a key there, and part of its hash (`bucket.rs`)
//! colb(k, b)              k = column << 16 | block: a packed column of up to 4,000 rows; in the order of time: how far each
//!                         row is from its place
//! sums(col, b)            code and count of each value, as varints; without the trail's own events
//! ```
//!
//! Every `b` ends with its checksum (`codec.rs`), and the head says which lists and buckets exist: if SQLite does not
//! find one because a page is damaged, that is an error and not an empty answer. An `n` that is used without its list
//! has its own checksum in its upper half.

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

/// Postings of the trail's own events are under the column's number plus this.
const SYSTEM_POSTINGS: u32 = 16;

/// The length of a longer list has a checksum, so that counting need not read the list.
const LEN_UNCHECKED_MAX: u32 = 1_024;

/// The length of a posting list as stored next to it.
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

/// Columns of codes that have blocks, from which facets are gathered.
const WITH_BLOCKS: [Coded; 8] = [
    Coded::Tenant,
    Coded::Actor,
    Coded::Action,
    Coded::Category,
    Coded::Kind,
    Coded::Ip,
    Coded::Outcome,
    Coded::Severity,
];
