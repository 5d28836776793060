//! What each measurement is called: the programs that measure print these names, and the report looks for them.

use crate::number::thousands;

pub const MASKED: &str = "with masking";
pub const UNMASKED: &str = "without masking";
pub const INDEXED: &str = "with masking and the index";

pub const TEXT_TO_LINE: &str = "JSON text to the masked line, one thread";
pub const TEXT_TO_HANDOFF: &str = "JSON text to the handoff, one thread";
pub const INDEXING: &str = "into the index";
pub const FLAT_OUT: &str = "record, async, one thread flat out";
pub const COLD: &str = "record, async, after a pause, 10/s";
pub const OPEN: &str = "open after a clean close";

/// Calls of one thread at a fixed rate; `how` is one of `MASKED`, `UNMASKED` and `INDEXED`.
pub fn paced(rate: u64, how: &str) -> String {
    format!("{PACED}{}/s, {how}", thousands(rate))
}

/// The rate in a name that [`paced`] has made.
pub fn paced_rate(name: &str, how: &str) -> Option<f64> {
    rate(name.strip_prefix(PACED)?.strip_suffix(how)?.strip_suffix("/s, ")?)
}

const PACED: &str = "record, async, one thread, ";

pub fn threads(how: &str) -> String {
    format!("record, async, 8 threads flat out, {how}")
}

pub fn trickle(linger_ms: u128) -> String {
    format!("record, async, 3,000/s, writer lingers {linger_ms} ms")
}

pub fn sync(callers: u64) -> String {
    format!("record, sync, {callers} caller{}", if callers == 1 { "" } else { "s" })
}

pub fn sustained(handoff_mib: u64) -> String {
    format!("sustained, 2 producers, durable and sealed, {handoff_mib} MiB of handoff")
}

pub fn verify(threads: usize) -> String {
    format!("verify, {threads} thread{}", if threads == 1 { "" } else { "s" })
}

pub fn rival(name: &str) -> String {
    format!("{RIVAL}{name}{RIVAL_LOAD}")
}

/// Ourselves, among the rivals.
pub const OWN: &str = "trailseal";
/// One row for each event, in the caller's thread and by a pool of threads.
pub const INSERT: &str = "INSERT into PostgreSQL";
pub const POOL: &str = "pool of 5 threads, INSERT into PostgreSQL";

/// Who is measured, of a name that [`rival`] has made.
pub fn rival_of(name: &str) -> Option<&str> {
    name.strip_prefix(RIVAL)?.strip_suffix(RIVAL_LOAD)
}

const RIVAL: &str = "rival: ";
const RIVAL_LOAD: &str = ", one thread flat out";

/// A rival's name as it is shown.
pub fn short(name: &str) -> &str {
    match name {
        OWN => "Trailseal, async",
        "tracing-appender (non-blocking, default)" => "tracing-appender, may drop",
        "tracing-appender (non-blocking, lossless)" => "tracing-appender, lossless",
        name => name,
    }
}

/// An endpoint of axum with the layer and one recorded event, beside the same without either.
pub const LAYER: &str = "axum endpoint with the layer and one event";
/// The two endpoints of [`LAYER`].
pub const ENDPOINT_BARE: &str = "bare";
pub const ENDPOINT_LAYERED: &str = "layered";
/// `AuditLogger::log_event` beside `Trail::record`.
pub const LOG_EVENT: &str = "AuditLogger::log_event, 20,000/s";

/// `record()` with values that a rule says are personal, or with none.
pub fn personal(which: &str) -> String {
    format!("record, async, personal values: {which}")
}
pub const PERSONAL_TWO_FIELDS: &str = "two fields";
/// Opening a trail that has a key for each of so many people, or none.
pub fn open_with_people(which: &str) -> String {
    format!("open: {which}")
}
pub const MILLION_PEOPLE: &str = "1,000,000 people";

/// Single events over 64 connections, flat out; `ack` is `accepted` or `durable`.
pub fn posts(ack: &str) -> String {
    format!("server, single POSTs, 64 connections, ack={ack}")
}

pub fn posts_paced(rate: u64) -> String {
    format!("{POSTS_PACED}{rate}/s, 64 connections")
}

/// The rate in a name that [`posts_paced`] has made.
pub fn posts_paced_rate(name: &str) -> Option<f64> {
    rate(name.strip_prefix(POSTS_PACED)?.strip_suffix("/s, 64 connections")?)
}

const POSTS_PACED: &str = "server, single POSTs at ";

pub fn batches(is_indexed: bool) -> String {
    format!("server, NDJSON of 1000, durable, {}", if is_indexed { "index running" } else { "without index" })
}

pub fn memory(millions: f64) -> String {
    format!("{MEMORY}{millions} million events")
}

pub const MEMORY: &str = "server, memory at ";

pub fn pages(millions: f64) -> String {
    format!("server, 50 newest of one tenant at {millions} million events")
}

pub fn flood(kind: &str) -> String {
    format!("{FLOOD}{kind}{FLOOD_LOAD}")
}

/// The kind of flood, of a name that [`flood`] has made.
pub fn flood_kind(name: &str) -> Option<&str> {
    name.strip_prefix(FLOOD)?.strip_suffix(FLOOD_LOAD)
}

/// Nine of ten events are retired beside a writer; those that stay lie between the others, or after them.
pub fn retire(is_interleaved: bool) -> String {
    let order = if is_interleaved { "interleaved" } else { "one after the other" };
    format!("retire 9 of 10 events beside 20,000/s, {order}")
}

/// One origin into the shared store, beside a raw COPY of the same columns.
pub const STORE_COPY: &str = "store, one origin delivering";
/// Two origins at once, beside two raw COPYs.
pub const STORE_COPY_TWO: &str = "store, two origins delivering";

/// Pages of a store over 100 partitions, by what they ask for besides a tenant.
pub fn store_pages(filter: &str) -> String {
    format!("store, 50 of 5 million events by {filter}")
}

/// What they ask for.
pub const STORE_FILTERS: [&str; 8] =
    ["nothing else", "time", "actor", "resource", "action", "correlation_id", "request_id", "id"];

/// One INSERT an event, each in its own transaction, by eight callers at once.
pub const INSERT_EIGHT: &str = "INSERT into PostgreSQL, 8 callers";

const FLOOD: &str = "server, flood of ";
const FLOOD_LOAD: &str = ", 100 POST/s and 20 GET/s beside it";

fn rate(text: &str) -> Option<f64> {
    text.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_name_is_found_again() {
        assert_eq!(paced(50_000, MASKED), "record, async, one thread, 50,000/s, with masking");
        assert_eq!(paced_rate(&paced(50_000, MASKED), MASKED), Some(50_000.0));
        assert_eq!(paced_rate(&paced(50_000, INDEXED), MASKED), None);
        assert_eq!(posts_paced_rate(&posts_paced(20_000)), Some(20_000.0));
        assert_eq!(rival_of(&rival("audit-trail")), Some("audit-trail"));
        assert_eq!(flood_kind(&flood("bombs")), Some("bombs"));
        assert_eq!(flood_kind(&posts("durable")), None);
    }
}
