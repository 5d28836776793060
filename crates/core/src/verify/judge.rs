//! From the findings to the verdict.

use trailseal_tlog::{Checkpoint, Hash, Rotation, SignedNote};

use super::feed::Stop;
use super::locate::{Located, locate};
use super::notes::{self, Signed, Unsigned};
use super::owed_checkpoints::{KeptMissing, kept_missing};
use super::pass::{self, Found, Wanted};
use super::read::{io_error, read};
use super::retired::retired;
use super::tree::TreeDiff;
use super::trust::{Trust, trust};
use super::unsealed::{self, Unrecorded};
use super::{Problem, Unproven, Verdict, VerifyError, VerifyOptions};
use crate::folder::Folder;
use crate::handoff::{Owner, own_header};
use crate::lock;
use crate::manifest::Manifest;
use crate::segment::{Form, SegmentFile};

/// How many retirements during one verification are waited for.
const RETIREMENTS_MAX: usize = 8;

/// Verifies the whole trail in `folder`.
///
/// # Errors
/// When the folder holds no trail, a file cannot be read, or a pinned checkpoint is malformed. Whatever is wrong with
/// the trail itself is in the verdict.
pub fn verify(folder: &Folder, options: &VerifyOptions) -> Result<Verdict, VerifyError> {
    let mut verdict = Verdict {
        ok: false,
        origin: String::new(),
        tree_size: 0,
        sealed: 0,
        unsealed: 0,
        retired: 0,
        retired_by: Vec::new(),
        first_bad: None,
        range: None,
        problem: None,
        message: String::new(),
        public_key: None,
        key_pinned: !options.public_keys.is_empty(),
        checkpoint_pinned: !options.checkpoints.is_empty(),
        longest_silence_seconds: 0.0,
        cannot_rule_out: Vec::new(),
        kept: KeptMissing::default(),
        good: None,
    };
    let mut bad = examine(folder, options, &mut verdict)?;
    for _ in 0..RETIREMENTS_MAX {
        // The event that announced it may be sealed only since the checkpoint was read.
        let was_retired_meanwhile = bad.as_ref().is_some_and(|bad| bad.is_unvouched)
            && newest_size(folder)?.is_some_and(|size| size > verdict.tree_size);
        if !was_retired_meanwhile || cfg!(trailseal_fault = "retired_meanwhile_not_looked_at") {
            break;
        }
        bad = examine(folder, options, &mut verdict)?;
    }
    verdict.cannot_rule_out = unproven(&verdict);
    match bad {
        None => {
            verdict.ok = true;
            verdict.message = format!(
                "{}: every one of {} sealed events is as it was signed",
                verdict.origin, verdict.sealed
            );
        }
        Some(located) => {
            verdict.first_bad = located.first_bad;
            verdict.range = located.range;
            verdict.problem = Some(located.problem);
            verdict.message = located.message;
        }
    }
    Ok(verdict)
}

fn unproven(verdict: &Verdict) -> Vec<Unproven> {
    let mut list = Vec::new();
    if !verdict.checkpoint_pinned {
        list.push(Unproven::Rollback);
    }
    if !verdict.key_pinned {
        list.push(Unproven::KeyReplaced);
    }
    if verdict.unsealed > 0 {
        list.push(Unproven::Unsealed);
    }
    list
}

/// Fills in the numbers of `verdict` and returns the first problem, if there is any.
fn examine(
    folder: &Folder,
    options: &VerifyOptions,
    verdict: &mut Verdict,
) -> Result<Option<Located>, VerifyError> {
    // Marks are read before what they refer to: the handoff's before the lines, the checkpoint before everything that
    // it covers.
    let durable = durable_mark(folder);
    let text = read(folder, &folder.checkpoint())?;
    let mut trust = match trust(folder, options)? {
        Ok(trust) => trust,
        Err(bad) => return Ok(Some(bad)),
    };
    verdict.origin = trust.ring.origin().to_string();
    let kept = read_kept(folder)?;
    let given = options.checkpoints.iter().map(String::as_bytes);
    trust.learn(text.as_deref().into_iter().chain(kept.iter().map(|(_, text)| &**text)).chain(given));
    let given = open_given(options, &trust)?;
    let (kept, kept_bad) = open_kept(&kept, &trust);
    let newest = match &text {
        Some(text) => notes::open(text, &trust.ring).map_err(|unsigned| unsigned.of("the newest checkpoint")),
        None => Err(Located::nowhere(Problem::CheckpointMissing, "the newest checkpoint is missing".into())),
    };
    if let (Some(text), Ok(newest)) = (&text, &newest) {
        trust.compare(text, newest.size);
    }
    // Without a newest checkpoint, what the newest earlier one covers can still be counted.
    let base = newest.as_ref().ok().or(kept.last());
    let size = base.map_or(0, |signed| signed.size);
    verdict.tree_size = size;
    let failed = |source| io_error(&folder.kept_checkpoints_folder(), source);
    verdict.kept = kept_missing(folder, size).map_err(failed)?;
    verdict.public_key = base.map(|signed| signed.key.to_string());
    let marks = marks(base.into_iter().chain(&kept).chain(given.iter().flatten()));
    let all = folder.segments_and_gone().map_err(|source| io_error(&folder.segments_folder(), source))?;
    let segments: Vec<SegmentFile> =
        all.iter().filter(|segment| segment.form != Form::Gone).cloned().collect();
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let wanted = Wanted { folder, size, marks: &marks, threads, progress: options.progress.as_deref() };
    let found = pass::run(folder.files(), &all, &wanted)?;
    let retired = retired(folder, &all, &found.missing, &found.announcing, &trust, size)?;
    let missing: u64 = found.missing.iter().map(|missing| missing.lines).sum();
    verdict.sealed = found.end.min(size).saturating_sub(missing);
    (verdict.retired, verdict.retired_by) = (retired.lines, retired.by);
    verdict.unsealed = found.end.saturating_sub(size);
    verdict.longest_silence_seconds = found.silence as f64 / 1e6;

    let trusted = base.into_iter().chain(&kept).chain(given.iter().flatten()).filter(|it| it.is_trusted);
    let trusted = self::marks(trusted);
    let is_trusted = |mark: &(u64, Hash)| trusted.contains(mark);
    verdict.good = marks
        .iter()
        .zip(&found.holds)
        .rfind(|(mark, holds)| **holds && is_trusted(mark))
        .map(|(mark, _)| *mark);

    let root = base.map(|signed| signed.root);
    let judged =
        Judged { folder, segments: &segments, marks: &marks, trusted: &trusted, size, root, found: &found };
    if let Err(bad) = newest {
        return Ok(Some(bad));
    }
    if let Some(bad) = trust.bad {
        return Ok(Some(bad));
    }
    if let Some(bad) = given.iter().find_map(|given| judged.given(given)) {
        return Ok(Some(bad));
    }
    if let Some(bad) = judged.sealed(retired.bad)? {
        return Ok(Some(bad));
    }
    if let Some(bad) = kept_bad {
        return Ok(Some(bad));
    }
    judged.unsealed(durable)
}

/// How many events the folder's handoff says were durable; 0 without a handoff of this trail.
fn durable_mark(folder: &Folder) -> u64 {
    let named = lock::named_handoff(folder);
    let places = named.into_iter().chain([folder.handoff()]);
    let origin = Manifest::read(folder).ok().flatten().map(|manifest| manifest.origin);
    let Some(owner) = origin.map(|origin| Owner::of(folder.root(), origin.as_str())) else { return 0 };
    places
        .filter_map(|path| own_header(&**folder.files(), &path, &owner))
        .map(|header| header.durable)
        .max()
        .unwrap_or(0)
}

impl Unsigned {
    fn of(self, which: &str) -> Located {
        Located::nowhere(self.problem, format!("{which} {}", self.message))
    }
}

/// The pinned checkpoints. One that cannot be parsed as a checkpoint at all is the caller's mistake.
fn open_given(options: &VerifyOptions, trust: &Trust) -> Result<Vec<Result<Signed, Unsigned>>, VerifyError> {
    let mut all = Vec::new();
    for text in &options.checkpoints {
        let opened = notes::open(text.as_bytes(), &trust.ring);
        if let Err(unsigned) = &opened
            && unsigned.problem == Problem::CheckpointInvalid
        {
            return Err(VerifyError::Given { what: unsigned.message.clone() });
        }
        all.push(opened);
    }
    Ok(all)
}

/// The texts of the kept checkpoints, by size.
fn read_kept(folder: &Folder) -> Result<Vec<(u64, Vec<u8>)>, VerifyError> {
    let sizes =
        folder.kept_checkpoints().map_err(|source| io_error(&folder.kept_checkpoints_folder(), source))?;
    let mut kept = Vec::with_capacity(sizes.len());
    for size in sizes {
        if let Some(text) = read(folder, &folder.kept_checkpoint(size))? {
            kept.push((size, text));
        }
    }
    Ok(kept)
}

/// The kept checkpoints that count; and what is wrong with the first that does not.
fn open_kept(texts: &[(u64, Vec<u8>)], trust: &Trust) -> (Vec<Signed>, Option<Located>) {
    let (mut kept, mut bad) = (Vec::with_capacity(texts.len()), None);
    for (size, text) in texts {
        let which = format!("checkpoints/{size}");
        let opened = notes::open(text, &trust.ring).or_else(|unsigned| match &trust.named {
            // A finding of the trusted keys themselves stands.
            Some(named) if unsigned.problem == Problem::KeyUnknown && is_before(trust, *size) => {
                notes::open(text, named).map(|signed| Signed { is_trusted: false, ..signed })
            }
            _ => Err(unsigned),
        });
        match opened {
            Ok(signed) if signed.size == *size => kept.push(signed),
            Ok(signed) => {
                let message = format!("{which} is a checkpoint of size {}", signed.size);
                bad.get_or_insert(Located::nowhere(Problem::CheckpointInvalid, message));
            }
            Err(unsigned) => {
                bad.get_or_insert(unsigned.of(&which));
            }
        }
    }
    (kept, bad)
}

/// Whether a checkpoint of this size may be from before the trusted keys.
fn is_before(trust: &Trust, size: u64) -> bool {
    let rotations = trust.named.iter().flat_map(|named| named.rotations());
    let trusted = |rotation: &&Rotation| {
        trust.ring.keys().iter().any(|entry| entry.key == *rotation.new_key())
            && trust.ring.keys().iter().all(|entry| entry.key != *rotation.old_key())
    };
    rotations.filter(trusted).any(|rotation| size <= rotation.size())
}

/// Only the tree is damaged: no event is bad, so none is named.
fn tree_damage(diff: &TreeDiff) -> Located {
    let TreeDiff { level, hash, is_missing, .. } = diff;
    let (problem, what) = match is_missing {
        true => (Problem::TreeMissing, format!("tree/{level} ends before hash {hash}, or is missing")),
        false => (Problem::TileForged, format!("hash {hash} of tree/{level} does not match the lines")),
    };
    let mend = "the lines themselves are as they were signed; `trailseal reindex --tree` rebuilds the tree";
    Located::nowhere(problem, format!("{what}; {mend}"))
}

/// A retired line cannot be hashed again.
fn leaf_missing(index: u64) -> Located {
    let message = format!(
        "tree/0 ends before hash {index}, or is missing, and the line was retired: put tree/0 back from a backup"
    );
    Located::nowhere(Problem::TreeMissing, message)
}

/// The size of the newest checkpoint as it is now, whoever has signed it.
fn newest_size(folder: &Folder) -> Result<Option<u64>, VerifyError> {
    let text = read(folder, &folder.checkpoint())?;
    let note = text.and_then(|text| SignedNote::parse(std::str::from_utf8(&text).ok()?).ok());
    Ok(note.and_then(|note| Some(Checkpoint::parse(note.text()).ok()?.size)))
}

/// Signed sizes and roots, ascending; two different roots of one size both stay.
fn marks<'a>(signed: impl Iterator<Item = &'a Signed>) -> Vec<(u64, Hash)> {
    let mut marks: Vec<(u64, Hash)> = signed.map(|signed| (signed.size, signed.root)).collect();
    marks.sort_unstable();
    marks.dedup();
    marks
}

struct Judged<'a> {
    folder: &'a Folder,
    segments: &'a [SegmentFile],
    marks: &'a [(u64, Hash)],
    /// Those that a trusted key has signed.
    trusted: &'a [(u64, Hash)],
    /// What the newest checkpoint covers, and its root.
    size: u64,
    root: Option<Hash>,
    found: &'a Found,
}

impl Judged<'_> {
    /// Whether the lines give the root of this mark; `None` if they do not reach it.
    fn holds(&self, signed: (u64, Hash)) -> Option<bool> {
        let at = self.marks.binary_search(&signed).ok()?;
        self.found.holds.get(at).copied()
    }

    /// What is wrong with regard to a checkpoint that was kept elsewhere.
    fn given(&self, given: &Result<Signed, Unsigned>) -> Option<Located> {
        let signed = match given {
            Ok(signed) => signed,
            Err(unsigned) => return Some(unsigned.clone().of("the given checkpoint")),
        };
        if signed.size > self.size {
            let message = format!(
                "the given checkpoint covers {} events, and the trail's newest one only {}: it was set back",
                signed.size, self.size
            );
            return Some(Located {
                first_bad: Some(self.size),
                ..Located::nowhere(Problem::Rollback, message)
            });
        }
        // What the newest checkpoint itself contradicts is found, and named better, below.
        let others_hold =
            self.marks.iter().zip(&self.found.holds).any(|(mark, holds)| mark.0 >= signed.size && *holds);
        (self.holds((signed.size, signed.root)) == Some(false) && others_hold).then(|| {
            let message = format!(
                "the given checkpoint signs other events below {} than the trail has: there are two histories",
                signed.size
            );
            Located { range: Some((0, signed.size)), ..Located::nowhere(Problem::RootMismatch, message) }
        })
    }

    /// What is wrong below the signed size, and with the tree and kept checkpoints.
    fn sealed(&self, unvouched: Option<Located>) -> Result<Option<Located>, VerifyError> {
        let newest_holds = self.root.and_then(|root| self.holds((self.size, root))) == Some(true);
        if let Some(index) = self.found.no_leaf.filter(|_| !newest_holds) {
            return Ok(Some(unvouched.unwrap_or_else(|| leaf_missing(index))));
        }
        if !newest_holds {
            return self.locate().map(Some);
        }
        if let Some(bad) = unvouched.filter(|_| !cfg!(trailseal_fault = "retired_unvouched")) {
            return Ok(Some(Located { is_unvouched: true, ..bad }));
        }
        if let Some(diff) = &self.found.tree_diff {
            return Ok(Some(tree_damage(diff)));
        }
        let failing = self.marks.iter().zip(&self.found.holds).find(|(_, holds)| !**holds);
        if let Some(((size, _), _)) = failing {
            let message = format!("checkpoints/{size} signs a root other than the lines give");
            return Ok(Some(Located {
                range: Some((0, *size)),
                ..Located::nowhere(Problem::RootMismatch, message)
            }));
        }
        let misfit = self.found.misfit.filter(|misfit| misfit.index < self.size);
        Ok(misfit.map(|misfit| {
            let index = misfit.index;
            let (problem, message) = match misfit.is_too_long {
                true => (Problem::LineTooLong, format!("event {index} is longer than a line may be")),
                false => {
                    let what = "does not begin as a line must, although it was signed like that";
                    (Problem::Edited, format!("event {index} {what}"))
                }
            };
            Located { first_bad: Some(index), ..Located::nowhere(problem, message) }
        }))
    }

    /// Where the lines differ from what was signed. Only what trusted keys have signed bounds it.
    fn locate(&self) -> Result<Located, VerifyError> {
        let reached = self.marks.iter().zip(&self.found.holds);
        let holds: Vec<bool> =
            reached.filter(|(mark, _)| self.trusted.contains(mark)).map(|(_, holds)| *holds).collect();
        locate(self.folder, self.segments, self.trusted, &holds, self.size, self.found)
    }

    /// What is wrong with the lines that no checkpoint covers yet: they must still follow each other.
    fn unsealed(&self, durable: u64) -> Result<Option<Located>, VerifyError> {
        let found = self.found;
        let at = |index: u64, problem, message| {
            Some(Located { first_bad: Some(index), ..Located::nowhere(problem, message) })
        };
        let bad = if let Some(misfit) = found.misfit {
            let index = misfit.index;
            match misfit.named {
                _ if misfit.is_too_long => at(
                    index,
                    Problem::LineTooLong,
                    format!("event {index} is longer than a line may be (not yet sealed)"),
                ),
                Some(named) if named > index => at(
                    index,
                    Problem::Missing,
                    format!("event {index} is missing: event {named} follows (not yet sealed)"),
                ),
                Some(named) if named < index => at(
                    index,
                    Problem::Duplicated,
                    format!("event {named} is in the place of event {index} (not yet sealed)"),
                ),
                _ => at(
                    index,
                    Problem::Edited,
                    format!("event {index} does not begin as a line must (not yet sealed)"),
                ),
            }
        } else if let Some(index) = found.went_back {
            at(
                index,
                Problem::Reordered,
                format!("event {index} claims to have been recorded before its predecessor (not yet sealed)"),
            )
        } else {
            match &found.stop {
                Stop::Gap => at(
                    found.end,
                    Problem::Missing,
                    format!("event {} is missing (not yet sealed)", found.end),
                ),
                Stop::TooLong => {
                    let message =
                        format!("event {} is longer than a line may be (not yet sealed)", found.end);
                    at(found.end, Problem::LineTooLong, message)
                }
                Stop::Unreadable { why } => {
                    at(found.end, Problem::Edited, format!("event {} cannot be read: {why}", found.end))
                }
                _ => self.beyond_signed().or_else(|| self.beyond_durable(found.end, durable)),
            }
        };
        let bad = match bad {
            None => self.unrecorded(durable)?,
            bad => bad,
        };
        // A writer that rolled meanwhile has made lines void that were read here.
        let Some(first_bad) = bad.as_ref().and_then(|bad| bad.first_bad) else { return Ok(bad) };
        let now =
            self.folder.segments().map_err(|source| io_error(&self.folder.segments_folder(), source))?;
        let rolled = now.iter().any(|segment| {
            segment.first.get() <= first_bad
                && self.segments.iter().all(|before| before.first != segment.first)
        });
        Ok(bad.filter(|_| !rolled))
    }

    /// The handoff's mark moves only after the lines that it refers to are durable.
    fn beyond_durable(&self, end: u64, durable: u64) -> Option<Located> {
        (durable > end).then(|| {
            let message = format!(
                "the handoff says that {durable} events were durable, but only the first {end} are whole (not yet \
                 sealed)"
            );
            Located { range: Some((end, durable)), ..Located::nowhere(Problem::DurableMissing, message) }
        })
    }

    /// Lines that nothing signs, and that no writer can have left.
    fn unrecorded(&self, durable: u64) -> Result<Option<Located>, VerifyError> {
        Ok(match unsealed::look(self.folder, self.segments, self.size, self.found.end)? {
            Some(Unrecorded::AfterClose(index)) => {
                let message = format!(
                    "event {index} follows `trail.closed` without an opening: nobody recorded it (not yet sealed)"
                );
                Some(Located { first_bad: Some(index), ..Located::nowhere(Problem::Inserted, message) })
            }
            // One that was never known to be durable was torn by a stop: the next opening sets it aside.
            Some(Unrecorded::Torn(index)) => self.beyond_durable(index, durable),
            None => None,
        })
    }

    /// A kept checkpoint may be ahead of the newest one for a moment, but never of the lines.
    fn beyond_signed(&self) -> Option<Located> {
        let (size, _) = self.marks.get(self.found.holds.len())?;
        let message = format!("checkpoints/{size} covers events that are missing");
        Some(Located { first_bad: Some(self.found.end), ..Located::nowhere(Problem::Missing, message) })
    }
}
