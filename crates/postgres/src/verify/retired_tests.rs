//! Retired rows, judged without a server.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use trailseal_core::verify::{Problem, Verdict};
use trailseal_tlog::{Checkpoint, Origin, SigningKey, TileEdge, leaf_hash};

use super::extents::{Extent, Extents};
use super::judge::{Cursor, Given, Held, Judged};
use super::pass::{Item, Row};
use super::retired::{Lists, RetiredSegment, StoredLeaves, StoredPart};

const ORIGIN: &str = "example.com/retired";
/// The event that retires; the lines before and after it are others.
const EVENT: u64 = 8;
const LINES: u64 = 12;

fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[7; 32])
}

fn front(index: u64) -> String {
    format!("{{\"v\":1,\"index\":{index},\"recorded\":\"2026-11-30T08:00:{index:02}.000000Z\"")
}

/// `trail.retired` for the list of the segment that begins with event 0, signed by `key`.
fn announcement(list: &[u8], key: &SigningKey) -> Vec<u8> {
    let sha256: String = Sha256::digest(list).iter().map(|byte| format!("{byte:02x}")).collect();
    let details = format!(
        "{{\"count\":3,\"segments\":[{{\"first\":0,\"bytes\":{},\"sha256\":\"{sha256}\"}}]",
        list.len()
    );
    let signature =
        STANDARD.encode(key.sign(format!("trailseal-retired@v1\n{ORIGIN}\n{details}").as_bytes()));
    format!(
        "{},\"system\":true,\"id\":\"r\",\"action\":\"trail.retired\",\"details\":{details},\"signature\":\"{signature}\"}}}}",
        front(EVENT)
    )
    .into_bytes()
}

struct Store {
    lines: Vec<Vec<u8>>,
    /// The indexes without a row.
    gone: Vec<u64>,
    parts: Vec<StoredPart>,
    leaves: Vec<StoredLeaves>,
    /// What the checkpoint covers.
    size: u64,
    min_time: i64,
}

/// Events 2, 3 and 5 are retired, by an event that `signer` has signed.
fn store(signer: &SigningKey) -> Store {
    let list = b"2 4\n5 6\n".to_vec();
    let lines: Vec<Vec<u8>> = (0..LINES)
        .map(|index| match index {
            EVENT => announcement(&list, signer),
            _ => format!("{},\"id\":\"e{index}\",\"action\":\"test\"}}", front(index)).into_bytes(),
        })
        .collect();
    let gone = vec![2, 3, 5];
    let hashes = gone.iter().flat_map(|index: &u64| leaf_hash(&lines[*index as usize]).0).collect();
    Store {
        lines,
        gone,
        parts: vec![StoredPart { bytes: list.len() as i64, event: EVENT as i64, list }],
        leaves: vec![StoredLeaves { bytes: 8, from: 2, to: 6, leaves: hashes }],
        size: 10,
        min_time: 0,
    }
}

fn judge(store: &Store, with_key: bool) -> Verdict {
    let mut edge = TileEdge::new();
    store.lines[..store.size as usize].iter().for_each(|line| edge.push(leaf_hash(line), &mut |_, _| {}));
    let checkpoint = Checkpoint::new(Origin::new(ORIGIN).unwrap(), edge.size(), edge.root());
    let last = leaf_hash(store.lines.last().unwrap()).0.to_vec();
    let held = Held {
        origin: ORIGIN.to_owned(),
        cursor: Some(Cursor { next: LINES as i64, leaf: Some(last) }),
        notes: vec![(store.size as i64, checkpoint.sign(&key()).into_bytes())],
    };
    let rows = (LINES - store.gone.len() as u64) as i64;
    let extent = Extent { first: 0, last: LINES as i64 - 1, time_min: store.min_time, rows };
    let names = [(1, "events_2026_11".to_owned())].into();
    let extents = Extents::new([("events_2026_11".to_owned(), extent)].into(), names);
    let mut lists = Lists::default();
    if !store.parts.is_empty() {
        lists.add(0, &store.parts, &BTreeMap::new());
    }
    let segment = RetiredSegment::new(0, &store.parts, &store.leaves);
    let given =
        Given { keys: with_key.then(|| key().verifying_key()).into_iter().collect(), ..Given::default() };
    let judged = Judged::new(held, &given).pass::<std::io::Error>(None, extents, &lists, |take| {
        for (index, line) in (0..).zip(&store.lines) {
            if store.gone.contains(&index) {
                if let Some(gone) = segment.at(index) {
                    take(&Item::Gone(gone))?;
                }
                continue;
            }
            let leaf = leaf_hash(line).0;
            let row = Row {
                index: index as i64,
                line: Some(line),
                leaf: Some(&leaf),
                differing: None,
                partition: 1,
                time: 0,
            };
            take(&Item::Row(row))?;
        }
        Ok(())
    });
    judged.unwrap()
}

#[test]
fn what_a_sealed_event_announces_is_retired_and_nothing_else() {
    let verdict = judge(&store(&key()), true);
    assert!(verdict.ok, "{}", verdict.message);
    assert_eq!((verdict.retired, &*verdict.retired_by, verdict.sealed), (3, &[EVENT][..], 7));
    assert!(judge(&store(&key()), false).ok, "nobody knows who signed, and it is said");

    type Tamper = fn(&mut Store);
    let table: [(&str, Tamper, Problem, u64); 9] = [
        ("no checkpoint covers the event", |store| store.size = EVENT, Problem::Missing, 2),
        ("another row is missing", |store| store.gone.push(6), Problem::Missing, 6),
        ("the list is gone", |store| store.parts.clear(), Problem::Missing, 2),
        ("the hashes are gone", |store| store.leaves.clear(), Problem::Missing, 2),
        (
            "the list is longer, and so is what is missing",
            |store| {
                store.parts[0].list.extend_from_slice(b"6 7\n");
                store.leaves[0].to = 7;
                let leaf = leaf_hash(&store.lines[6]).0;
                store.leaves[0].leaves.extend_from_slice(&leaf);
                store.gone.push(6);
            },
            Problem::Missing,
            2,
        ),
        (
            "a part was added, and so to what is missing",
            |store| {
                store.parts.push(StoredPart { bytes: 12, event: EVENT as i64, list: b"6 7\n".to_vec() });
                let leaves = leaf_hash(&store.lines[6]).0.to_vec();
                store.leaves.push(StoredLeaves { bytes: 12, from: 6, to: 7, leaves });
                store.gone.push(6);
            },
            Problem::Missing,
            6,
        ),
        (
            "a part was added, and nothing more is missing",
            |store| store.parts.push(StoredPart { bytes: 12, event: EVENT as i64, list: b"6 7\n".to_vec() }),
            Problem::StoreDiffers,
            0,
        ),
        (
            "the list names another event as the one that announces it",
            |store| store.parts[0].event = 1,
            Problem::StoreDiffers,
            0,
        ),
        (
            "the earliest time is later than that of a row",
            |store| store.min_time = 1,
            Problem::StoreDiffers,
            0,
        ),
    ];
    for (what, tamper, problem, first_bad) in table {
        let mut changed = store(&key());
        tamper(&mut changed);
        for with_key in [true, false] {
            let verdict = judge(&changed, with_key);
            assert_eq!(
                (verdict.problem, verdict.first_bad),
                (Some(problem), Some(first_bad)),
                "{what}: {}",
                verdict.message
            );
        }
    }
    // More is missing than the event says, by a list that fits.
    let list = b"2 4\n5 6\n6 7\n".to_vec();
    let mut more = store(&key());
    more.lines[EVENT as usize] = announcement(&list, &key());
    more.gone.push(6);
    more.leaves[0].to = 7;
    more.leaves[0].leaves.extend_from_slice(&leaf_hash(&more.lines[6]).0);
    more.parts[0] = StoredPart { bytes: 12, event: EVENT as i64, list };
    more.leaves[0].bytes = 12;
    let verdict = judge(&more, true);
    assert_eq!(
        (verdict.problem, verdict.first_bad),
        (Some(Problem::Missing), Some(EVENT)),
        "{}",
        verdict.message
    );
    let mut changed = store(&key());
    changed.leaves[0].leaves[40] ^= 1;
    assert_eq!(judge(&changed, true).problem, Some(Problem::RootMismatch));
    // A list that claims everything takes no time and no memory.
    let mut changed = store(&key());
    changed.parts[0].list = b"0 18446744073709551615\n".to_vec();
    changed.leaves[0].to = i64::MAX;
    assert_eq!(judge(&changed, true).problem, Some(Problem::Missing));
    let mut early = store(&key());
    early.min_time = -1;
    assert!(judge(&early, true).ok, "it only makes readers look where nothing is");
}

#[test]
fn an_event_that_no_trusted_key_has_signed_retires_nothing() {
    let forged = store(&SigningKey::from_seed(ORIGIN, &[9; 32]));
    let verdict = judge(&forged, true);
    assert_eq!(
        (verdict.problem, verdict.first_bad),
        (Some(Problem::Missing), Some(2)),
        "{}",
        verdict.message
    );
    assert!(verdict.message.contains("trail.retired"), "{}", verdict.message);
}
