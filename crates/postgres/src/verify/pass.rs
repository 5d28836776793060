//! One pass over the rows of one origin, in the order of their indexes: the tree that their lines give, compared with
//! every signed root.
//!
//! The leaf hashes beside the lines are a witness as far as they themselves give a signed root; so is the tree of the
//! origin's own folder, where it can be reached. Rows that cannot be right whatever was signed (a gap, a second row, a
//! line that names another index) are certain by themselves.

use std::collections::BTreeMap;
use std::io;

use trailseal_core::verify::Problem;
use trailseal_event::line::{LINE_BYTES_MAX, parse_front};
use trailseal_tlog::{HASH_BYTES, Hash, TileEdge, leaf_hash};

use super::finding::Finding;
use super::retired::{Claims, Gone};

/// How many lines that name another index are remembered, to tell what was done.
const MISFITS_MAX: usize = 1_024;

/// One row.
pub(super) struct Row<'a> {
    pub(super) index: i64,
    pub(super) line: Option<&'a [u8]>,
    /// The stored leaf hash.
    pub(super) leaf: Option<&'a [u8]>,
    /// The first column that does not say what the line says.
    pub(super) differing: Option<&'static str>,
    /// The partition that holds it.
    pub(super) partition: u32,
    /// The column of the effective time.
    pub(super) time: i64,
}

/// What comes next of an origin.
pub(super) enum Item<'a> {
    Row(Row<'a>),
    Gone(Gone),
}

/// A size and root that a checkpoint names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) size: u64,
    pub(super) root: Hash,
    /// Whether it bounds a change: one that no trusted key has signed is only compared.
    pub(super) is_trusted: bool,
}

/// The leaf hashes of an origin's own tree; nothing in it is trusted before it gives a signed root.
pub(super) trait Witness {
    /// The leaf hash of an event; `None` if the tree ends before.
    fn leaf(&mut self, index: u64) -> io::Result<Option<Hash>>;
}

/// What cannot be right, whatever was signed.
#[derive(Clone, Copy, Debug)]
enum Certain {
    /// No row has an index from the first to before the second.
    Gap(u64, u64),
    /// A second row has this index, or its index is negative.
    Second(i64),
    /// The line begins as that of another event, or as no line.
    Misfit(u64),
    TooLong(u64),
    /// A row that no delivery can have brought.
    Beyond(u64),
    /// It was recorded before its predecessor.
    WentBack(u64),
    /// Of a retired event the leaf hash is not there, or is another one.
    NoLeaf(u64),
    OtherLeaf(u64),
}

/// What the pass found.
pub(super) struct Found {
    /// How many rows there are below the newest signed size, and from there on.
    pub(super) sealed: u64,
    pub(super) unsealed: u64,
    /// The index after the last row.
    pub(super) end: u64,
    /// Whether the lines give each signed root; shorter than the marks if the rows end before.
    pub(super) holds: Vec<bool>,
    /// The leaf hash of the line before `next` of the cursor.
    pub(super) at_cursor: Option<Hash>,
    /// What is wrong with the rows.
    pub(super) finding: Option<Finding>,
    /// The longest time between two of them, in microseconds.
    pub(super) silence: i64,
    /// What lists say is retired.
    pub(super) claims: Claims,
}

/// What was seen since the last signed root that the lines give.
struct Stretch {
    from: u64,
    /// The tree with the stored leaf hashes in the place of the lines'; `None` once one is missing.
    leaves: Option<TileEdge>,
    /// The first row whose line does not have the hash beside it.
    leaf_diff: Option<u64>,
    /// The same for the origin's own tree.
    own: Option<TileEdge>,
    own_diff: Option<Certain>,
    /// Whether there are retired events in it.
    has_gone: bool,
    column_diff: Option<(u64, &'static str)>,
    certain: Option<Certain>,
    /// By index, which event the line claims to be.
    misfits: BTreeMap<u64, Option<u64>>,
}

impl Stretch {
    fn new(lines: Option<&TileEdge>, has_witness: bool) -> Stretch {
        Stretch {
            from: lines.map_or(0, TileEdge::size),
            leaves: lines.cloned(),
            leaf_diff: None,
            own: lines.cloned().filter(|_| has_witness),
            own_diff: None,
            has_gone: false,
            column_diff: None,
            certain: None,
            misfits: BTreeMap::new(),
        }
    }
}

pub(super) struct Pass<'a, 'w> {
    marks: &'a [Mark],
    /// The newest size that a checkpoint in the store covers.
    size: u64,
    /// The cursor: everything below was delivered.
    next: u64,
    witness: Option<&'w mut dyn Witness>,
    /// The tree that the lines give; `None` once one is missing that nobody has the hash of.
    lines: Option<TileEdge>,
    expected: u64,
    stretch: Stretch,
    /// What was found where the lines do not give a signed root, while no later one shows that they are right.
    pending: Option<Finding>,
    finding: Option<Finding>,
    holds: Vec<bool>,
    sealed: u64,
    unsealed: u64,
    end: u64,
    at_cursor: Option<Hash>,
    last_recorded: Option<i64>,
    silence: i64,
    claims: Claims,
}

impl<'a, 'w> Pass<'a, 'w> {
    /// `marks` ascend; `size` is what the newest checkpoint in the store covers, `next` its cursor.
    pub(super) fn new(
        marks: &'a [Mark],
        size: u64,
        next: u64,
        witness: Option<&'w mut dyn Witness>,
    ) -> Pass<'a, 'w> {
        let lines = TileEdge::new();
        let mut pass = Pass {
            marks,
            size,
            next,
            stretch: Stretch::new(Some(&lines), witness.is_some()),
            witness,
            lines: Some(lines),
            expected: 0,
            pending: None,
            finding: None,
            holds: Vec::new(),
            sealed: 0,
            unsealed: 0,
            end: 0,
            at_cursor: None,
            last_recorded: None,
            silence: 0,
            claims: Claims::default(),
        };
        pass.check_marks();
        pass
    }

    /// Takes the next row; those of one origin come in the order of (index, recorded).
    ///
    /// # Errors
    /// When the origin's own tree could not be read.
    pub(super) fn push(&mut self, row: &Row<'_>) -> io::Result<()> {
        let Ok(index) = u64::try_from(row.index) else {
            self.certain(Certain::Second(row.index));
            return Ok(());
        };
        *(if index < self.size { &mut self.sealed } else { &mut self.unsealed }) += 1;
        self.end = index.saturating_add(1);
        if index < self.expected {
            self.certain(Certain::Second(row.index));
            return Ok(());
        }
        if index >= self.next.max(self.size) {
            self.certain(Certain::Beyond(index));
        }
        if index > self.expected {
            self.certain(Certain::Gap(self.expected, index));
            self.pass_over(index)?;
        }
        self.expected = index.saturating_add(1);
        let line = row.line.unwrap_or_default();
        self.look_at(index, line);
        let hash = leaf_hash(line);
        if index.checked_add(1) == Some(self.next) {
            self.at_cursor = Some(hash);
        }
        if row.leaf.is_none_or(|leaf| *leaf != hash.0) {
            self.stretch.leaf_diff.get_or_insert(index);
        }
        if let Some(column) = row.differing {
            self.stretch.column_diff.get_or_insert((index, column));
        }
        let stored = row.leaf.and_then(|leaf| <[u8; HASH_BYTES]>::try_from(leaf).ok()).map(Hash);
        let hash = match stored {
            Some(stored) if cfg!(trailseal_fault = "store_leaves_believed") => stored,
            _ => hash,
        };
        let own = self.own_leaf(index)?;
        if own.is_some_and(|own| own != hash) {
            self.stretch.own_diff.get_or_insert(Certain::Misfit(index));
        }
        self.grow(Some(hash), stored, own);
        Ok(())
    }

    /// Takes the next index, of which no row is left and a list says that it is retired.
    ///
    /// # Errors
    /// When the origin's own tree could not be read.
    pub(super) fn push_gone(&mut self, gone: &Gone) -> io::Result<()> {
        let Gone { index, leaf, .. } = *gone;
        if index != self.expected {
            return Ok(());
        }
        self.claims.add(gone);
        self.stretch.has_gone = true;
        self.expected = index.saturating_add(1);
        self.end = self.expected;
        // Others may have been recorded in between.
        self.last_recorded = None;
        let own = self.own_leaf(index)?;
        match (leaf, own) {
            (None, _) => self.certain(Certain::NoLeaf(index)),
            (Some(leaf), Some(own)) if leaf != own => {
                self.stretch.own_diff.get_or_insert(Certain::OtherLeaf(index));
            }
            _ => {}
        }
        if index.checked_add(1) == Some(self.next) {
            self.at_cursor = leaf.or(own);
        }
        self.grow(leaf.or(own), leaf, own);
        Ok(())
    }

    /// What can be said of a line without any hash.
    fn look_at(&mut self, index: u64, line: &[u8]) {
        self.claims.look_at(index, line);
        let front = parse_front(line);
        let named = front.as_ref().map(|front| front.index);
        if line.len() > LINE_BYTES_MAX {
            self.certain(Certain::TooLong(index));
        }
        if named != Some(index) {
            if self.stretch.misfits.len() < MISFITS_MAX {
                self.stretch.misfits.insert(index, named);
            }
            self.certain(Certain::Misfit(index));
        }
        let Some(front) = front else { return };
        let recorded = front.recorded.as_micros();
        if let Some(last) = self.last_recorded {
            self.silence = self.silence.max(recorded.saturating_sub(last));
            if recorded < last && index >= self.size {
                self.certain(Certain::WentBack(index));
            }
        }
        self.last_recorded = Some(recorded);
    }

    fn certain(&mut self, certain: Certain) {
        self.stretch.certain.get_or_insert(certain);
    }

    fn own_leaf(&mut self, index: u64) -> io::Result<Option<Hash>> {
        match &mut self.witness {
            Some(witness) if self.stretch.own.is_some() => witness.leaf(index),
            _ => Ok(None),
        }
    }

    /// Rows up to `index` are missing: the origin's own tree has their hashes, or no later root can be compared.
    fn pass_over(&mut self, index: u64) -> io::Result<()> {
        self.stretch.leaves = None;
        let reach = self.marks.last().map_or(0, |mark| mark.size);
        while self.lines.is_some() && self.expected < index {
            let own = match self.expected < reach {
                true => self.own_leaf(self.expected)?,
                false => None,
            };
            self.grow(own, None, own);
            self.expected += 1;
        }
        Ok(())
    }

    /// Adds one leaf to each tree; `None` ends it.
    fn grow(&mut self, line: Option<Hash>, stored: Option<Hash>, own: Option<Hash>) {
        grow(&mut self.lines, line);
        grow(&mut self.stretch.leaves, stored);
        grow(&mut self.stretch.own, own);
        self.check_marks();
    }

    fn check_marks(&mut self) {
        // Once the tree is broken, the marks that are passed fail by themselves.
        let at = self.lines.as_ref().map(TileEdge::size);
        while let Some(&Mark { size, root, is_trusted }) = self.marks.get(self.holds.len())
            && at.is_none_or(|at| size == at)
        {
            let holds = self.lines.as_ref().is_some_and(|lines| lines.root() == root);
            self.holds.push(holds);
            if !is_trusted {
                continue;
            }
            if holds {
                self.held();
            } else if self.pending.is_none() && (self.stretch.from < size || size == 0) {
                // Otherwise another checkpoint of this size has just shown that the lines are right.
                self.pending = Some(self.locate(size, root));
            }
        }
    }

    /// The lines up to here are as they were signed. What else is wrong with these rows is certain.
    fn held(&mut self) {
        self.pending = None;
        let stretch = Stretch::new(self.lines.as_ref(), self.witness.is_some());
        let stretch = std::mem::replace(&mut self.stretch, stretch);
        if self.finding.is_some() {
            return;
        }
        let of_line = |index| format!("the line of event {index} is as it was signed, but");
        self.finding = match stretch {
            Stretch { certain: Some(certain), .. } => Some(named(certain, &stretch.misfits, "")),
            Stretch { leaf_diff: Some(index), .. } => Some(Finding::at(
                index,
                Problem::StoreDiffers,
                format!("{} the leaf hash beside it was changed", of_line(index)),
            )),
            Stretch { column_diff: Some((index, column)), .. } => {
                Some(column_finding(index, column, &of_line(index)))
            }
            _ => None,
        };
    }

    /// Where the lines differ from what the checkpoint of `size` events signs.
    fn locate(&self, size: u64, root: Hash) -> Finding {
        let stretch = &self.stretch;
        let gives = |edge: &Option<TileEdge>| {
            edge.as_ref().is_some_and(|edge| edge.size() == size && edge.root() == root)
        };
        let leaf_diff = stretch.leaf_diff.map(Certain::Misfit);
        for (edge, first) in [(&stretch.own, stretch.own_diff), (&stretch.leaves, leaf_diff)] {
            if let Some(first) = first.filter(|_| gives(edge)) {
                return named(first, &stretch.misfits, "");
            }
        }
        if let Some(certain) = stretch.certain {
            return named(certain, &stretch.misfits, "");
        }
        let mut message =
            "the lines do not give the signed root, and neither do the leaf hashes beside them: the last \
            signed root that holds and the next one bound the change"
                .to_owned();
        if let Some(first) = stretch.leaf_diff {
            message = format!("{message}; the line of event {first} does not have the hash beside it");
        }
        if stretch.has_gone {
            message.push_str(
                "; of retired events among them there are only leaf hashes, which may be what was changed",
            );
        }
        Finding::within((stretch.from, size), Problem::RootMismatch, message)
    }

    pub(super) fn finish(mut self) -> Found {
        // What the rows do not reach fails where something else is certain; else it is the end that is missing.
        if self.finding.is_none() {
            self.finding = self.pending.take().or_else(|| self.beyond_signed());
        }
        Found {
            sealed: self.sealed,
            unsealed: self.unsealed,
            end: self.end.max(self.expected),
            holds: self.holds,
            at_cursor: self.at_cursor,
            finding: self.finding,
            silence: self.silence,
            claims: self.claims,
        }
    }

    /// What is wrong with the rows after the last root that holds. Nothing signs them, but they must fit each other.
    fn beyond_signed(&self) -> Option<Finding> {
        const UNSEALED: &str = " (no checkpoint in the store covers it)";
        let Stretch { certain, leaf_diff, column_diff, misfits, .. } = &self.stretch;
        if let Some(certain) = certain {
            return Some(named(*certain, misfits, UNSEALED));
        }
        if let Some(index) = *leaf_diff {
            let message =
                format!("the line of event {index} does not have the leaf hash beside it{UNSEALED}");
            return Some(Finding::at(index, Problem::Edited, message));
        }
        let (index, column) = (*column_diff)?;
        Some(column_finding(index, column, &format!("in the row of event {index}")))
    }
}

fn grow(edge: &mut Option<TileEdge>, leaf: Option<Hash>) {
    match (edge.as_mut(), leaf) {
        (Some(edge), Some(leaf)) => edge.push(leaf, &mut |_, _| {}),
        _ => *edge = None,
    }
}

fn column_finding(index: u64, column: &str, before: &str) -> Finding {
    let message = format!(
        "{before} the column {column} does not say what the line says, so searches hide or invent events"
    );
    Finding::at(index, Problem::StoreDiffers, message)
}

/// Says what was done, as far as the rows show it.
fn named(certain: Certain, misfits: &BTreeMap<u64, Option<u64>>, after: &str) -> Finding {
    let (index, problem, what) = match certain {
        Certain::Gap(from, to) if to - from == 1 => {
            (from, Problem::Missing, format!("event {from} is missing"))
        }
        Certain::Gap(from, to) => {
            (from, Problem::Missing, format!("event {from} is missing, and all others before event {to}"))
        }
        Certain::Second(index) => {
            let what = match u64::try_from(index) {
                Ok(index) => format!("a second row has the index of event {index}"),
                Err(_) => format!("a row has the index {index}, which no event has"),
            };
            (u64::try_from(index).unwrap_or(0), Problem::Inserted, what)
        }
        Certain::TooLong(index) => {
            (index, Problem::LineTooLong, format!("the line of event {index} is longer than a line may be"))
        }
        Certain::Beyond(index) => {
            let what = format!(
                "no delivery brought the row of event {index}: it was added, or the cursor was set back"
            );
            (index, Problem::Inserted, what)
        }
        Certain::NoLeaf(index) => {
            let what = format!("event {index} is retired, and the leaf hash that was kept of it is missing");
            (index, Problem::Missing, what)
        }
        Certain::OtherLeaf(index) => {
            let what = format!("the leaf hash that is kept of retired event {index} was changed");
            (index, Problem::StoreDiffers, what)
        }
        Certain::WentBack(index) => {
            let what = format!("event {index} claims to have been recorded before its predecessor");
            (index, Problem::Reordered, what)
        }
        Certain::Misfit(index) => {
            let (problem, what) = match misfits.get(&index).copied().flatten() {
                Some(other) if misfits.contains_key(&other) => {
                    (Problem::Reordered, format!("event {other} is in the place of event {index}"))
                }
                Some(other) if other < index => (
                    Problem::Duplicated,
                    format!("event {other} occurs a second time, in the place of event {index}"),
                ),
                Some(other) => (
                    Problem::Edited,
                    format!(
                        "the line of event {index} is not the one that was signed (it claims to be event {other})"
                    ),
                ),
                None => {
                    (Problem::Edited, format!("the line of event {index} is not the one that was signed"))
                }
            };
            (index, problem, what)
        }
    };
    Finding::at(index, problem, format!("{what}{after}"))
}
