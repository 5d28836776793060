//! From what the store holds of one origin to the verdict.

use std::io;

use trailseal_core::verify::{KeptMissing, Problem, SignedCheckpoint, Unproven, Verdict, open_checkpoint};
use trailseal_tlog::{Checkpoint, Hash, KeyRing, Origin, SignedNote, VerifyingKey};

use super::extents::Extents;
use super::finding::Finding;
use super::pass::{Found, Item, Mark, Pass, Witness};
use super::retired::{Judgement, Lists};

/// A trail keeps a checkpoint at each multiple of this, so a store has it too.
const KEPT_EVERY: u64 = 65_536;

/// What the store holds of one origin, beside its rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) origin: String,
    pub(super) cursor: Option<Cursor>,
    /// The signed notes, with the size under which each is kept.
    pub(super) notes: Vec<(i64, Vec<u8>)>,
}

/// A row of `cursors`.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub(super) next: i64,
    pub(super) leaf: Option<Vec<u8>>,
}

/// What was kept elsewhere of one origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) keys: Vec<VerifyingKey>,
    pub(super) checkpoints: Vec<String>,
}

impl Given {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.checkpoints.is_empty()
    }
}

/// A checkpoint that counts. Without a key nobody knows who signed it.
#[derive(Clone, Debug)]
struct Opened {
    mark: Mark,
    key: Option<VerifyingKey>,
}

/// One origin, ready for its rows.
pub(super) struct Judged {
    held: Held,
    given_keys: bool,
    /// Those in the store, ascending by size.
    kept: Vec<Opened>,
    /// Checkpoints in the store from before the given keys.
    earlier: Vec<Mark>,
    given: Vec<Result<Opened, Finding>>,
    /// What is wrong with the first checkpoint in the store that does not count, or with a rotation.
    bad_note: Option<Finding>,
    bad_ring: Option<Finding>,
    marks: Vec<Mark>,
    /// `None` without a given key.
    ring: Option<KeyRing>,
}

impl Judged {
    pub(super) fn new(held: Held, given: &Given) -> Judged {
        let mut judged = Judged {
            held,
            given_keys: !given.keys.is_empty(),
            kept: Vec::new(),
            earlier: Vec::new(),
            given: Vec::new(),
            bad_note: None,
            bad_ring: None,
            marks: Vec::new(),
            ring: None,
        };
        let Ok(origin) = Origin::new(&judged.held.origin) else {
            let message = format!("{:?} cannot be the name of a trail", judged.held.origin);
            judged.bad_ring = Some(Finding::nowhere(Problem::OriginMismatch, message));
            return judged;
        };
        let mut ring = KeyRing::new(origin.clone(), &given.keys);
        let texts = judged.held.notes.iter().map(|(_, note)| &**note);
        for text in texts.chain(given.checkpoints.iter().map(String::as_bytes)) {
            let note = std::str::from_utf8(text).ok().and_then(|text| SignedNote::parse(text).ok());
            if let Some(Err(conflict)) = note.map(|note| ring.learn(&note)) {
                let finding = Finding::nowhere(Problem::RotationInvalid, conflict.to_string());
                judged.bad_ring.get_or_insert(finding);
            }
        }
        let ring = judged.given_keys.then_some(ring);
        let open = |text: &[u8]| open(text, &origin, ring.as_ref());
        let mut bad = Vec::new();
        for (size, text) in &judged.held.notes {
            let which = format!("the checkpoint of size {size} in the store");
            let opened = open(text).and_then(|opened| match u64::try_from(*size) == Ok(opened.mark.size) {
                true => Ok(opened),
                false => Err((Problem::CheckpointInvalid, format!("is one of size {}", opened.mark.size))),
            });
            match opened {
                Ok(opened) => judged.kept.push(opened),
                Err((problem, what)) => {
                    bad.push((*size, text.clone(), Finding::nowhere(problem, format!("{which} {what}"))))
                }
            }
        }
        judged.kept.sort_by_key(|opened| opened.mark.size);
        judged.bad_note = judged.take_earlier(bad, &origin);
        let given = given.checkpoints.iter().map(|text| {
            let which = |(problem, what)| Finding::nowhere(problem, format!("the given checkpoint {what}"));
            open(text.as_bytes()).map_err(which)
        });
        judged.given = given.collect();
        let marks = judged.kept.iter().chain(judged.given.iter().flatten()).map(|opened| opened.mark);
        judged.marks = marks.chain(judged.earlier.iter().copied()).collect();
        judged.marks.sort_unstable_by_key(|mark| (mark.size, mark.root, !mark.is_trusted));
        judged.marks.dedup_by_key(|mark| (mark.size, mark.root));
        judged.ring = ring;
        judged
    }

    /// Whoever gives today's key has no earlier ones, and checkpoints of their time are in the store all the same: those are
    /// only compared. Returns what is wrong with the first that cannot be of that time.
    fn take_earlier(&mut self, bad: Vec<(i64, Vec<u8>, Finding)>, origin: &Origin) -> Option<Finding> {
        let begin = self.kept.first().map_or(0, |first| first.mark.size);
        let mut first = None;
        for (size, text, finding) in bad {
            let is_before = |opened: &Opened| {
                finding.problem == Problem::KeyUnknown
                    && u64::try_from(size) == Ok(opened.mark.size)
                    && opened.mark.size <= begin
            };
            match open(&text, origin, None).ok().filter(is_before) {
                Some(Opened { mark, .. }) => {
                    self.earlier.push(Mark { is_trusted: false, ..mark });
                }
                None => first = first.or(Some(finding)),
            }
        }
        first
    }

    pub(super) fn origin(&self) -> &str {
        &self.held.origin
    }

    fn size(&self) -> u64 {
        self.kept.last().map_or(0, |newest| newest.mark.size)
    }

    fn next(&self) -> u64 {
        let next = self.held.cursor.as_ref().map_or(0, |cursor| cursor.next);
        u64::try_from(next).unwrap_or(0)
    }

    /// Up to which index there may be rows.
    pub(super) fn end(&self) -> u64 {
        self.next().max(self.size())
    }

    /// Passes over the rows, which `each` hands out in the order of (index, recorded), and judges.
    pub(super) fn pass<E: From<io::Error>>(
        self,
        witness: Option<&mut dyn Witness>,
        mut extents: Extents,
        lists: &Lists,
        each: impl FnOnce(&mut dyn FnMut(&Item<'_>) -> io::Result<()>) -> Result<(), E>,
    ) -> Result<Verdict, E> {
        let mut pass = Pass::new(&self.marks, self.size(), self.next(), witness);
        each(&mut |item| match item {
            Item::Row(row) => {
                extents.add(row);
                pass.push(row)
            }
            Item::Gone(gone) => pass.push_gone(gone),
        })?;
        let found = pass.finish();
        Ok(self.verdict(&found, &extents, lists))
    }

    fn verdict(&self, found: &Found, extents: &Extents, lists: &Lists) -> Verdict {
        let newest = self.kept.last();
        let size = self.size();
        let mut cannot_rule_out = Vec::new();
        if self.given.is_empty() {
            cannot_rule_out.push(Unproven::Rollback);
        }
        if !self.given_keys {
            cannot_rule_out.push(Unproven::KeyReplaced);
        }
        if found.unsealed > 0 {
            cannot_rule_out.push(Unproven::Unsealed);
        }
        let retired = found.claims.judge(lists, size, self.ring.as_ref());
        let finding = self.finding(found, &retired).or_else(|| extents.finding(!lists.is_empty()));
        let finding = finding.map(|finding| self.with_list(finding, found, lists));
        let fits = if self.given_keys { "is as it was signed" } else { "fits the checkpoints in the store" };
        let message = match &finding {
            Some(finding) => finding.message.clone(),
            None => format!("{}: every one of {} sealed events {fits}", self.origin(), found.sealed),
        };
        Verdict {
            ok: finding.is_none(),
            origin: self.origin().to_owned(),
            tree_size: size,
            sealed: found.sealed,
            unsealed: found.unsealed,
            retired: retired.retired,
            retired_by: retired.by,
            first_bad: finding.as_ref().and_then(|finding| finding.first_bad),
            range: finding.as_ref().and_then(|finding| finding.range),
            problem: finding.as_ref().map(|finding| finding.problem),
            message,
            public_key: newest.and_then(|newest| newest.key.as_ref()).map(VerifyingKey::to_string),
            key_pinned: self.given_keys,
            checkpoint_pinned: !self.given.is_empty(),
            longest_silence_seconds: found.silence as f64 / 1e6,
            cannot_rule_out,
            kept: self.kept_missing(),
            good: self.good(found),
        }
    }

    fn good(&self, found: &Found) -> Option<(u64, Hash)> {
        let good = self.marks.iter().zip(&found.holds).rfind(|(mark, holds)| **holds && mark.is_trusted);
        good.map(|(mark, _)| (mark.size, mark.root))
    }

    fn kept_missing(&self) -> KeptMissing {
        let owed = self.size() / KEPT_EVERY;
        let has = |size: &u64| {
            let kept = self.kept.iter().map(|opened| &opened.mark);
            kept.chain(&self.earlier).any(|mark| mark.size == *size)
        };
        let missing = (1..=owed).map(|number| number * KEPT_EVERY).filter(|size| !has(size)).collect();
        KeptMissing { owed, missing }
    }

    /// Says of an event that is missing what became of the list that may explain it.
    fn with_list(&self, mut finding: Finding, found: &Found, lists: &Lists) -> Finding {
        if let (Problem::Missing, Some(index)) = (finding.problem, finding.first_bad)
            && let Some(why) = found.claims.why_missing(index, lists, self.size(), self.ring.as_ref())
        {
            finding.message.push_str(&why);
        }
        finding
    }

    /// The first problem, if there is any.
    fn finding(&self, found: &Found, retired: &Judgement) -> Option<Finding> {
        let rows = found.sealed + found.unsealed;
        if self.bad_ring.is_some() {
            return self.bad_ring.clone();
        }
        if found.finding.is_some() {
            return found.finding.clone();
        }
        if self.size() > found.end {
            return Some(self.cut_off(found.end));
        }
        let unvouched = retired.finding.clone();
        unvouched
            .or_else(|| self.given.iter().find_map(|given| self.of_given(given, found)))
            .or_else(|| self.of_kept(found))
            .or_else(|| self.bad_note.clone())
            .or_else(|| {
                (self.kept.is_empty() && rows > 0).then(|| {
                    let message = format!(
                        "the store holds {rows} events and no checkpoint of them: they were removed, or the trail began \
                         to deliver only now, or it cannot seal"
                    );
                    Finding::nowhere(Problem::CheckpointMissing, message)
                })
            })
            .or_else(|| self.of_cursor(found))
    }

    fn cut_off(&self, end: u64) -> Finding {
        let size = self.size();
        let message =
            format!("event {end} is missing, and all others before event {size}, although they were signed");
        Finding::at(end, Problem::Missing, message)
    }

    /// Whether the lines give the root of a checkpoint; `None` if they do not reach it.
    fn holds(&self, mark: Mark, found: &Found) -> Option<bool> {
        let at =
            self.marks.binary_search_by_key(&(mark.size, mark.root), |mark| (mark.size, mark.root)).ok()?;
        found.holds.get(at).copied()
    }

    fn of_given(&self, given: &Result<Opened, Finding>, found: &Found) -> Option<Finding> {
        let Mark { size, .. } = match given {
            Ok(opened) => opened.mark,
            Err(finding) => return Some(finding.clone()),
        };
        if size > found.end {
            let end = found.end;
            let message = format!(
                "the given checkpoint covers {size} events, and the store holds only {end}: rows were removed, unless the \
                 delivery is behind"
            );
            return Some(Finding::at(end, Problem::Rollback, message));
        }
        let differs = given.as_ref().is_ok_and(|opened| self.holds(opened.mark, found) == Some(false));
        differs.then(|| {
            let message =
                format!("the given checkpoint signs other events below {size} than the store has: there are two histories");
            Finding::within((0, size), Problem::RootMismatch, message)
        })
    }

    /// A checkpoint in the store that the lines contradict, although a later one shows that they are right.
    fn of_kept(&self, found: &Found) -> Option<Finding> {
        let mut kept = self.earlier.iter().copied().chain(self.kept.iter().map(|opened| opened.mark));
        let Mark { size, .. } = kept.find(|mark| self.holds(*mark, found) == Some(false))?;
        let message =
            format!("the checkpoint of size {size} in the store signs a root other than the lines give");
        Some(Finding::within((0, size), Problem::RootMismatch, message))
    }

    /// The cursor moves with the rows, so it must fit them.
    fn of_cursor(&self, found: &Found) -> Option<Finding> {
        let differs = |at, message| Some(Finding::at(at, Problem::StoreDiffers, message));
        let Some(cursor) = &self.held.cursor else {
            return (found.end > 0).then(|| {
                Finding::nowhere(Problem::StoreDiffers, "the origin's row in cursors is missing".into())
            });
        };
        let (next, end) = (cursor.next, found.end);
        let Ok(next) = u64::try_from(next) else {
            return differs(0, format!("the cursor stands at {next}, where no cursor can be"));
        };
        if next > end {
            let message = format!(
                "the cursor says that all events before {next} were delivered, and the rows end before event {end}: they \
                 were removed, or the cursor was changed"
            );
            return Some(Finding::at(end, Problem::Missing, message));
        }
        if next < end {
            return differs(
                next,
                format!("the cursor was set back to {next}: the store has the events before {end}"),
            );
        }
        let leaf = found.at_cursor.map(|leaf| leaf.0.to_vec());
        (cursor.leaf != leaf && next > 0).then(|| {
            differs(next - 1, format!("the cursor names another event {} than the store has", next - 1))
        })?
    }
}

/// Opens a checkpoint of this trail; without a ring its signature is not checked.
fn open(text: &[u8], origin: &Origin, ring: Option<&KeyRing>) -> Result<Opened, (Problem, String)> {
    if let Some(ring) = ring {
        let SignedCheckpoint { size, root, key, .. } =
            open_checkpoint(text, ring).map_err(|unsigned| (unsigned.problem, unsigned.message))?;
        return Ok(Opened { mark: Mark { size, root, is_trusted: true }, key: Some(key) });
    }
    let note = std::str::from_utf8(text).ok().and_then(|text| SignedNote::parse(text).ok());
    let checkpoint = note.and_then(|note| Checkpoint::parse(note.text()).ok());
    match checkpoint {
        None => Err((Problem::CheckpointInvalid, "is not a signed checkpoint".into())),
        Some(checkpoint) if checkpoint.origin != *origin => {
            Err((Problem::OriginMismatch, format!("is of the trail {}, not of {origin}", checkpoint.origin)))
        }
        Some(Checkpoint { size, root, .. }) => {
            Ok(Opened { mark: Mark { size, root, is_trusted: true }, key: None })
        }
    }
}
