//! The judgement without a server: what is found in rows that somebody changed, and what is not.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io;

use trailseal_core::verify::{Problem, Unproven, Verdict};
use trailseal_tlog::{Checkpoint, Hash, Origin, Rotation, SigningKey, TileEdge, leaf_hash};

use super::extents::{Extent, Extents};
use super::judge::{Cursor, Given, Held, Judged};
use super::pass::{Item, Row, Witness};
use super::retired::Lists;

const ORIGIN: &str = "example.com/verify";
const ROWS: usize = 35;
/// The sizes of the checkpoints that the store has.
const SIZES: [u64; 3] = [10, 20, 30];

#[derive(Clone)]
struct OneRow {
    index: i64,
    line: Option<Vec<u8>>,
    leaf: Option<Vec<u8>>,
    differing: Option<&'static str>,
}

/// A store in memory, of one origin.
#[derive(Clone)]
struct Store {
    rows: Vec<OneRow>,
    notes: Vec<(i64, Vec<u8>)>,
    cursor: Option<Cursor>,
    extent: Option<Extent>,
}

fn line(index: u64, what: &str) -> Vec<u8> {
    let second = index % 60;
    format!(
        "{{\"v\":1,\"index\":{index},\"recorded\":\"2026-11-30T08:00:{second:02}.000000Z\",\"id\":\"e{index}\",\
         \"action\":\"{what}\"}}"
    )
    .into_bytes()
}

fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[7; 32])
}

fn row(index: u64, line: Vec<u8>) -> OneRow {
    let leaf = Some(leaf_hash(&line).0.to_vec());
    OneRow { index: index.cast_signed(), line: Some(line), leaf, differing: None }
}

fn note(lines: &[Vec<u8>], key: &SigningKey) -> Vec<u8> {
    let mut edge = TileEdge::new();
    lines.iter().for_each(|line| edge.push(leaf_hash(line), &mut |_, _| {}));
    Checkpoint::new(Origin::new(ORIGIN).unwrap(), edge.size(), edge.root()).sign(key).into_bytes()
}

fn lines() -> Vec<Vec<u8>> {
    (0..ROWS as u64).map(|index| line(index, "test")).collect()
}

fn store() -> Store {
    let lines = lines();
    let rows: Vec<OneRow> = (0..).zip(&lines).map(|(index, line)| row(index, line.clone())).collect();
    let notes = SIZES.map(|size| (size.cast_signed(), note(&lines[..size as usize], &key()))).to_vec();
    let leaf = rows[ROWS - 1].leaf.clone();
    let extent = Extent { first: 0, last: ROWS as i64 - 1, time_min: 0, rows: ROWS as i64 };
    Store { rows, notes, cursor: Some(Cursor { next: ROWS as i64, leaf }), extent: Some(extent) }
}

fn judge_with(store: &Store, given: &Given, witness: Option<&mut dyn Witness>) -> Verdict {
    let held = Held { origin: ORIGIN.to_owned(), cursor: store.cursor.clone(), notes: store.notes.clone() };
    let stored = store.extent.map(|extent| ("events_2026_11".to_owned(), extent)).into_iter().collect();
    let extents = Extents::new(stored, BTreeMap::from([(1, "events_2026_11".to_owned())]));
    let judged = Judged::new(held, given).pass::<io::Error>(witness, extents, &Lists::default(), |take| {
        for OneRow { index, line, leaf, differing } in &store.rows {
            let (line, leaf) = (line.as_deref(), leaf.as_deref());
            let row = Row { index: *index, line, leaf, differing: *differing, partition: 1, time: 0 };
            take(&Item::Row(row))?;
        }
        Ok(())
    });
    judged.unwrap()
}

fn pinned() -> Given {
    Given { keys: vec![key().verifying_key()], checkpoints: Vec::new() }
}

fn judge(store: &Store) -> Verdict {
    judge_with(store, &pinned(), None)
}

type Found = (Option<Problem>, Option<u64>, Option<(u64, u64)>);

fn found(verdict: &Verdict) -> Found {
    assert_eq!(verdict.ok, verdict.problem.is_none(), "{}", verdict.message);
    (verdict.problem, verdict.first_bad, verdict.range)
}

fn at(problem: Problem, index: u64) -> Found {
    (Some(problem), Some(index), None)
}

fn within(problem: Problem, range: (u64, u64)) -> Found {
    (Some(problem), None, Some(range))
}

/// The row's line is another one, and so is the leaf hash beside it if `leaf`.
fn edit(store: &mut Store, index: usize, leaf: bool) {
    let edited = row(index as u64, line(index as u64, "edited"));
    store.rows[index].line = edited.line;
    if leaf {
        store.rows[index].leaf = edited.leaf;
    }
}

#[test]
fn an_untouched_store_is_well_and_what_is_not_covered_is_counted() {
    let verdict = judge(&store());
    assert_eq!(found(&verdict), (None, None, None), "{}", verdict.message);
    assert_eq!((verdict.sealed, verdict.unsealed, verdict.tree_size), (30, 5, 30));
    assert_eq!(verdict.cannot_rule_out, [Unproven::Rollback, Unproven::Unsealed]);
    assert!(verdict.key_pinned && verdict.public_key.is_some());

    let without = judge_with(&store(), &Given::default(), None);
    assert!(without.ok && without.public_key.is_none());
    assert_eq!(without.cannot_rule_out, [Unproven::Rollback, Unproven::KeyReplaced, Unproven::Unsealed]);
    assert!(without.message.contains("fits the checkpoints"), "{}", without.message);
}

#[test]
fn every_change_of_rows_is_found_and_named() {
    type Tamper = fn(&mut Store);
    let table: [(&str, Tamper, Found); 21] = [
        ("a line", |store| edit(store, 12, false), at(Problem::Edited, 12)),
        ("a line and its leaf", |store| edit(store, 12, true), within(Problem::RootMismatch, (10, 20))),
        ("a line beyond the checkpoints", |store| edit(store, 32, false), at(Problem::Edited, 32)),
        ("a leaf", |store| store.rows[12].leaf = Some(vec![0; 32]), at(Problem::StoreDiffers, 12)),
        ("no leaf", |store| store.rows[12].leaf = None, at(Problem::StoreDiffers, 12)),
        ("a column", |store| store.rows[12].differing = Some("tenant"), at(Problem::StoreDiffers, 12)),
        ("a column beyond", |store| store.rows[33].differing = Some("tenant"), at(Problem::StoreDiffers, 33)),
        ("a row removed", |store| drop(store.rows.remove(12)), at(Problem::Missing, 12)),
        ("the first removed", |store| drop(store.rows.remove(0)), at(Problem::Missing, 0)),
        ("the last removed", |store| drop(store.rows.pop()), at(Problem::Missing, 34)),
        ("sealed ones removed at the end", |store| store.rows.truncate(25), at(Problem::Missing, 25)),
        (
            "a second row of one index",
            |store| store.rows.insert(13, row(12, line(12, "forged"))),
            at(Problem::Inserted, 12),
        ),
        (
            "two lines swapped",
            |store| {
                let (one, two) = (store.rows[12].clone(), store.rows[17].clone());
                (store.rows[12].line, store.rows[12].leaf) = (two.line, two.leaf);
                (store.rows[17].line, store.rows[17].leaf) = (one.line, one.leaf);
            },
            at(Problem::Reordered, 12),
        ),
        (
            "a line twice",
            |store| {
                (store.rows[15].line, store.rows[15].leaf) =
                    (store.rows[12].line.clone(), store.rows[12].leaf.clone())
            },
            at(Problem::Duplicated, 15),
        ),
        ("no line", |store| store.rows[12].line = None, at(Problem::Edited, 12)),
        (
            "a row with an index below 0",
            |store| store.rows.insert(0, OneRow { index: -1, ..store.rows[0].clone() }),
            at(Problem::Inserted, 0),
        ),
        (
            "a row far beyond",
            |store| store.rows.push(row(i64::MAX as u64, line(i64::MAX as u64, "x"))),
            at(Problem::Inserted, i64::MAX as u64),
        ),
        (
            "a row added at the end",
            |store| store.rows.push(row(35, line(35, "forged"))),
            at(Problem::Inserted, 35),
        ),
        (
            "a line longer than a line may be",
            |store| store.rows[33].line = Some(line(33, &"x".repeat(70_000))),
            at(Problem::LineTooLong, 33),
        ),
        (
            "two sealed lines and their leaves",
            |store| {
                edit(store, 5, true);
                edit(store, 25, true);
            },
            within(Problem::RootMismatch, (0, 10)),
        ),
        ("every row", |store| store.rows.clear(), at(Problem::Missing, 0)),
    ];
    for (what, tamper, wanted) in table {
        let mut changed = store();
        tamper(&mut changed);
        let verdict = judge(&changed);
        assert_eq!(found(&verdict), wanted, "{what}: {}", verdict.message);
    }
}

#[test]
fn every_change_beside_the_rows_is_found() {
    type Tamper = fn(&mut Store);
    let foreign = || SigningKey::from_seed(ORIGIN, &[9; 32]);
    let table: [(&str, Tamper, Found); 12] = [
        ("the cursor put back", |store| store.cursor.as_mut().unwrap().next = 33, at(Problem::Inserted, 33)),
        (
            "the cursor put back below the signed size",
            |store| store.cursor.as_mut().unwrap().next = 5,
            at(Problem::Inserted, 30),
        ),
        (
            "the cursor put forward",
            |store| store.cursor.as_mut().unwrap().next = 40,
            at(Problem::Missing, 35),
        ),
        ("the cursor below 0", |store| store.cursor.as_mut().unwrap().next = -1, at(Problem::Inserted, 30)),
        (
            "another leaf at the cursor",
            |store| store.cursor.as_mut().unwrap().leaf = None,
            at(Problem::StoreDiffers, 34),
        ),
        ("no cursor", |store| store.cursor = None, at(Problem::Inserted, 30)),
        ("no extents", |store| store.extent = None, at(Problem::StoreDiffers, 0)),
        ("other extents", |store| store.extent.as_mut().unwrap().time_min = 5, at(Problem::StoreDiffers, 0)),
        ("no checkpoints", |store| store.notes.clear(), (Some(Problem::CheckpointMissing), None, None)),
        (
            "a checkpoint that is none",
            |store| store.notes[1].1 = b"x".to_vec(),
            (Some(Problem::CheckpointInvalid), None, None),
        ),
        (
            "a checkpoint under another size",
            |store| store.notes[1].0 = 21,
            (Some(Problem::CheckpointInvalid), None, None),
        ),
        (
            "a changed signature",
            |store| {
                let note = &mut store.notes[2].1;
                let last = note.len() - 10;
                note[last] = if note[last] == b'A' { b'B' } else { b'A' };
            },
            (Some(Problem::SignatureInvalid), None, None),
        ),
    ];
    for (what, tamper, wanted) in table {
        let mut changed = store();
        tamper(&mut changed);
        let verdict = judge(&changed);
        assert_eq!(found(&verdict), wanted, "{what}: {}", verdict.message);
    }
    // Everything written again and signed with another key: only a pinned key shows it.
    let mut again = store();
    let lines: Vec<Vec<u8>> = (0..ROWS as u64).map(|index| line(index, "again")).collect();
    again.rows = (0..).zip(&lines).map(|(index, line)| row(index, line.clone())).collect();
    again.notes = SIZES.map(|size| (size.cast_signed(), note(&lines[..size as usize], &foreign()))).to_vec();
    again.cursor.as_mut().unwrap().leaf = again.rows[ROWS - 1].leaf.clone();
    assert_eq!(found(&judge(&again)), (Some(Problem::KeyUnknown), None, None));
    let without = judge_with(&again, &Given::default(), None);
    assert!(without.ok && without.cannot_rule_out.contains(&Unproven::KeyReplaced), "{}", without.message);
}

/// Without a key nobody knows which checkpoint is right; the lines show it where a later one holds.
#[test]
fn a_checkpoint_that_the_lines_contradict_is_not_laid_to_the_lines() {
    let mut changed = store();
    let other: Vec<Vec<u8>> = (0..20).map(|index| line(index, "other")).collect();
    changed.notes[1].1 = note(&other, &key());
    for given in [pinned(), Given::default()] {
        let verdict = judge_with(&changed, &given, None);
        assert_eq!(found(&verdict), within(Problem::RootMismatch, (0, 20)), "{}", verdict.message);
        assert!(verdict.message.contains("the checkpoint of size 20"), "{}", verdict.message);
    }
}

#[test]
fn a_checkpoint_kept_elsewhere_shows_an_end_that_was_taken_away() {
    let given = |size: usize| Given {
        checkpoints: vec![String::from_utf8(note(&lines()[..size], &key())).unwrap()],
        ..pinned()
    };
    // Cut to what the checkpoint of size 20 covers, cursor and checkpoints too.
    let mut cut = store();
    cut.rows.truncate(20);
    cut.notes.truncate(2);
    cut.cursor = Some(Cursor { next: 20, leaf: cut.rows[19].leaf.clone() });
    (cut.extent.as_mut().unwrap().last, cut.extent.as_mut().unwrap().rows) = (19, 20);
    assert!(judge(&cut).ok, "nothing in the store shows it");
    let verdict = judge_with(&cut, &given(35), None);
    assert_eq!(found(&verdict), at(Problem::Rollback, 20), "{}", verdict.message);
    assert!(judge_with(&cut, &given(20), None).ok);
    // It covers what no checkpoint in the store does.
    let mut changed = store();
    edit(&mut changed, 33, true);
    changed.cursor.as_mut().unwrap().leaf = changed.rows[34].leaf.clone();
    assert!(judge(&changed).ok, "not covered");
    let verdict = judge_with(&changed, &given(35), None);
    assert_eq!(found(&verdict), within(Problem::RootMismatch, (30, 35)), "{}", verdict.message);
    let other = Given {
        checkpoints: vec![String::from_utf8(note(&[line(0, "other")], &key())).unwrap()],
        ..pinned()
    };
    let verdict = judge_with(&store(), &other, None);
    assert_eq!(found(&verdict), within(Problem::RootMismatch, (0, 1)), "{}", verdict.message);
}

/// The key was rotated at size 20.
fn rotated() -> (Store, SigningKey) {
    let (mut store, new) = (store(), SigningKey::from_seed(ORIGIN, &[8; 32]));
    let line =
        Rotation::sign(&Origin::new(ORIGIN).unwrap(), &key(), &new.verifying_key(), 20).to_signature_line();
    let mut signed = note(&lines()[..30], &new);
    signed.extend_from_slice(line.as_bytes());
    store.notes[2].1 = signed;
    (store, new)
}

#[test]
fn a_rotated_key_is_vouched_for_and_checkpoints_from_before_it_are_only_compared() {
    let (store, new) = rotated();
    assert!(judge(&store).ok, "the old key vouches for the new one");
    let given = Given { keys: vec![new.verifying_key()], checkpoints: Vec::new() };
    let verdict = judge_with(&store, &given, None);
    assert!(verdict.ok, "{}", verdict.message);
    // Whoever forges one from before the key bounds nothing with it.
    let (mut forged, _) = rotated();
    edit(&mut forged, 5, true);
    let changed: Vec<Vec<u8>> = forged.rows.iter().map(|row| row.line.clone().unwrap()).collect();
    forged.notes[0].1 = note(&changed[..10], &SigningKey::from_seed(ORIGIN, &[9; 32]));
    let verdict = judge_with(&forged, &given, None);
    assert_eq!(found(&verdict), within(Problem::RootMismatch, (0, 30)), "{}", verdict.message);
    // One from before the key, under a size that it does not have, and one from after it.
    for (at, size) in [(0, 11), (2, 30)] {
        let (mut other, _) = rotated();
        other.notes[at] =
            (size, note(&lines()[..if at == 0 { 10 } else { 30 }], &SigningKey::from_seed(ORIGIN, &[9; 32])));
        other.notes.push((29, note(&lines()[..29], &new)));
        assert_eq!(judge_with(&other, &given, None).problem, Some(Problem::KeyUnknown), "{at}");
    }
    let (mut other, _) = rotated();
    other.notes[0].1 = note(&vec![line(0, "other"); 10], &SigningKey::from_seed(ORIGIN, &[9; 32]));
    assert_eq!(found(&judge_with(&other, &given, None)), within(Problem::RootMismatch, (0, 10)));
}

struct Tree(Vec<Hash>);

impl Witness for Tree {
    fn leaf(&mut self, index: u64) -> io::Result<Option<Hash>> {
        Ok(self.0.get(index as usize).copied())
    }
}

/// Where the leaf hashes in the store were changed as well, the origin's own tree names the row; a forged tree names none.
#[test]
fn the_tree_of_the_origin_names_a_row_where_the_store_only_shows_a_range() {
    let mut changed = store();
    edit(&mut changed, 12, true);
    let mut tree = Tree(lines().iter().map(|line| leaf_hash(line)).collect());
    let verdict = judge_with(&changed, &pinned(), Some(&mut tree));
    assert_eq!(found(&verdict), at(Problem::Edited, 12), "{}", verdict.message);
    // Its last leaves are void.
    tree.0.truncate(20);
    assert_eq!(found(&judge_with(&changed, &pinned(), Some(&mut tree))), at(Problem::Edited, 12));
    tree.0[15] = Hash([0; 32]);
    let verdict = judge_with(&changed, &pinned(), Some(&mut tree));
    assert_eq!(found(&verdict), within(Problem::RootMismatch, (10, 20)), "{}", verdict.message);
    assert!(
        judge_with(&store(), &pinned(), Some(&mut tree)).ok,
        "the lines are right, whatever a folder says"
    );
}
