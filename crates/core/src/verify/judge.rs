//! From what was found to the verdict.

use std::io;
use std::path::Path;

use trailseal_tlog::{Hash, Origin, VerifyingKey};

use super::feed::Stop;
use super::locate::{Located, locate};
use super::notes::{self, Signed, Unsigned};
use super::pass::{self, Found, Wanted};
use super::tree::TreeDiff;
use super::{Problem, Unproven, Verdict, VerifyError, VerifyOptions};
use crate::trail::{Folder, Manifest, ManifestError, SegmentFile};

/// A checkpoint has a few signature lines; one for each rotation so far.
const NOTE_BYTES_MAX: u64 = 1 << 20;

/// Verifies the whole trail in `folder`.
///
/// # Errors
/// When the folder holds no trail, a file cannot be read, or a pinned checkpoint is none. Whatever is
/// wrong with the trail itself is in the verdict.
pub fn verify(folder: &Folder, options: &VerifyOptions) -> Result<Verdict, VerifyError> {
    let mut verdict = Verdict {
        ok: false,
        origin: String::new(),
        tree_size: 0,
        sealed: 0,
        unsealed: 0,
        retired: 0,
        first_bad: None,
        range: None,
        problem: None,
        message: String::new(),
        public_key: None,
        key_pinned: !options.public_keys.is_empty(),
        checkpoint_pinned: !options.checkpoints.is_empty(),
        longest_silence_seconds: 0.0,
        cannot_rule_out: Vec::new(),
    };
    let bad = examine(folder, options, &mut verdict)?;
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

/// Who may sign, and for which trail.
struct Trust {
    origin: Origin,
    keys: Vec<VerifyingKey>,
    /// Those that trail.toml names. Who pins a key of today still has kept checkpoints by the keys before
    /// it; they only help to say where a change is.
    named: Vec<VerifyingKey>,
}

/// Fills in the numbers of `verdict` and returns the first thing that is wrong, if anything is.
fn examine(
    folder: &Folder,
    options: &VerifyOptions,
    verdict: &mut Verdict,
) -> Result<Option<Located>, VerifyError> {
    // The newest checkpoint is read before anything that it covers.
    let text = read(folder, &folder.checkpoint())?;
    let (trust, untrusted) = trust(folder, options)?;
    let Some(trust) = trust else { return Ok(untrusted) };
    verdict.origin = trust.origin.to_string();
    let given = open_given(options, &trust)?;
    let (kept, kept_bad) = open_kept(folder, &trust)?;
    let newest = match text {
        Some(text) => notes::open(&text, &trust.origin, &trust.keys)
            .map_err(|unsigned| unsigned.of("the newest checkpoint")),
        None => Err(located(Problem::CheckpointMissing, "the newest checkpoint is not there".into())),
    };
    // Without a newest checkpoint, what the newest earlier one covers can still be counted.
    let base = newest.as_ref().ok().or(kept.last());
    let size = base.map_or(0, |signed| signed.size);
    verdict.tree_size = size;
    verdict.public_key = base.map(|signed| signed.key.to_string());
    let marks = marks(base.into_iter().chain(&kept).chain(given.iter().flatten()));
    let segments = folder.segments().map_err(|source| io_error(&folder.segments_folder(), source))?;
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let wanted = Wanted { folder, size, marks: &marks, threads, progress: options.progress.as_deref() };
    let found = pass::run(folder.files(), &segments, &wanted)?;
    verdict.sealed = found.end.min(size);
    verdict.unsealed = found.end.saturating_sub(size);
    verdict.longest_silence_seconds = found.silence as f64 / 1e6;

    let root = base.map(|signed| signed.root);
    let judged = Judged { folder, segments: &segments, marks: &marks, size, root, found: &found };
    if let Err(bad) = newest {
        return Ok(Some(bad));
    }
    if let Some(bad) = untrusted {
        return Ok(Some(bad));
    }
    if let Some(bad) = given.iter().find_map(|given| judged.given(given)) {
        return Ok(Some(bad));
    }
    if let Some(bad) = judged.sealed()? {
        return Ok(Some(bad));
    }
    if let Some(bad) = kept_bad {
        return Ok(Some(bad));
    }
    judged.unsealed()
}

fn io_error(path: &Path, source: io::Error) -> VerifyError {
    VerifyError::Io { path: path.to_owned(), source }
}

fn located(problem: Problem, message: String) -> Located {
    Located { first_bad: None, range: None, problem, message }
}

impl Unsigned {
    fn of(self, which: &str) -> Located {
        located(self.problem, format!("{which} {}", self.message))
    }
}

/// Who may sign this trail; and what is wrong with `trail.toml`, if anything is.
fn trust(folder: &Folder, options: &VerifyOptions) -> Result<(Option<Trust>, Option<Located>), VerifyError> {
    let pinned = &options.public_keys;
    let manifest = match Manifest::read(folder) {
        Ok(Some(manifest)) => Ok(manifest),
        Ok(None) if is_empty(folder)? => {
            return Err(VerifyError::NoTrail { path: folder.root().to_owned() });
        }
        Ok(None) => Err("trail.toml is missing, and with it the trail's name and key".to_owned()),
        Err(ManifestError::Io(error)) => return Err(io_error(&folder.trail_toml(), error)),
        Err(invalid) => Err(format!("trail.toml is damaged: {invalid}")),
    };
    let given_origin = pinned.first().map(|key| key.name().to_owned());
    Ok(match (manifest, given_origin) {
        (Ok(manifest), None) => {
            let keys = manifest.public_keys();
            (Some(Trust { origin: manifest.origin, keys, named: Vec::new() }), None)
        }
        (Ok(manifest), Some(given)) => {
            let other = (given != manifest.origin.as_str()).then(|| {
                let message = format!("the folder holds the trail {}, not {given}", manifest.origin);
                located(Problem::OriginMismatch, message)
            });
            let named = manifest.public_keys();
            (Some(Trust { origin: manifest.origin, keys: pinned.clone(), named }), other)
        }
        (Err(damage), given) => {
            let trust = given.and_then(|given| Origin::new(&given).ok()).map(|origin| Trust {
                origin,
                keys: pinned.clone(),
                named: Vec::new(),
            });
            (trust, Some(located(Problem::KeyUnknown, damage)))
        }
    })
}

fn is_empty(folder: &Folder) -> Result<bool, VerifyError> {
    let segments = folder.segments().map_err(|source| io_error(&folder.segments_folder(), source))?;
    Ok(segments.is_empty() && read(folder, &folder.checkpoint())?.is_none())
}

fn read(folder: &Folder, path: &Path) -> Result<Option<Vec<u8>>, VerifyError> {
    match folder.files().read(path, NOTE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Far too long for a note: what it is instead does not matter.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(Vec::new())),
        Err(error) => Err(io_error(path, error)),
    }
}

/// The pinned checkpoints. One that cannot be read as a checkpoint at all is the caller's mistake.
fn open_given(options: &VerifyOptions, trust: &Trust) -> Result<Vec<Result<Signed, Unsigned>>, VerifyError> {
    let mut all = Vec::new();
    for text in &options.checkpoints {
        let opened = notes::open(text.as_bytes(), &trust.origin, &trust.keys);
        if let Err(unsigned) = &opened
            && unsigned.problem == Problem::CheckpointInvalid
        {
            return Err(VerifyError::Given { what: unsigned.message.clone() });
        }
        all.push(opened);
    }
    Ok(all)
}

/// The kept checkpoints that count, by size; and what is wrong with the first that does not.
fn open_kept(folder: &Folder, trust: &Trust) -> Result<(Vec<Signed>, Option<Located>), VerifyError> {
    let sizes =
        folder.kept_checkpoints().map_err(|source| io_error(&folder.kept_checkpoints_folder(), source))?;
    let keys = [&*trust.keys, &*trust.named].concat();
    let (mut kept, mut bad) = (Vec::with_capacity(sizes.len()), None);
    for size in sizes {
        let Some(text) = read(folder, &folder.kept_checkpoint(size))? else { continue };
        let which = format!("checkpoints/{size}");
        match notes::open(&text, &trust.origin, &keys) {
            Ok(signed) if signed.size == size => kept.push(signed),
            Ok(signed) => {
                let message = format!("{which} is a checkpoint of size {}", signed.size);
                bad.get_or_insert(located(Problem::CheckpointInvalid, message));
            }
            Err(unsigned) => {
                bad.get_or_insert(unsigned.of(&which));
            }
        }
    }
    Ok((kept, bad))
}

/// The tree alone is damaged: no event is bad, so none is named.
fn tree_damage(diff: &TreeDiff) -> Located {
    let TreeDiff { level, hash, is_missing, .. } = diff;
    let (problem, what) = match is_missing {
        true => (Problem::TreeMissing, format!("tree/{level} ends before hash {hash}, or is not there")),
        false => (Problem::TileForged, format!("hash {hash} of tree/{level} is not what the lines give")),
    };
    let mend =
        "the lines themselves are as they were signed; `trailseal reindex --tree` makes the tree again";
    located(problem, format!("{what}; {mend}"))
}

/// Signed sizes and roots, ascending; two different roots of one size stay both.
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

    /// What is wrong beside a checkpoint that was kept elsewhere.
    fn given(&self, given: &Result<Signed, Unsigned>) -> Option<Located> {
        let signed = match given {
            Ok(signed) => signed,
            Err(unsigned) => return Some(unsigned.clone().of("the checkpoint given")),
        };
        if signed.size > self.size {
            let message = format!(
                "the checkpoint given covers {} events, and the trail's newest one only {}: it was set back",
                signed.size, self.size
            );
            return Some(Located { first_bad: Some(self.size), ..located(Problem::Rollback, message) });
        }
        // What the newest checkpoint itself does not hold is found, and named better, below.
        let others_hold =
            self.marks.iter().zip(&self.found.holds).any(|(mark, holds)| mark.0 >= signed.size && *holds);
        (self.holds((signed.size, signed.root)) == Some(false) && others_hold).then(|| {
            let message = format!(
                "the checkpoint given signs other events below {} than the trail has: there are two histories",
                signed.size
            );
            Located { range: Some((0, signed.size)), ..located(Problem::RootMismatch, message) }
        })
    }

    /// What is wrong below the signed size, and with the tree and kept checkpoints.
    fn sealed(&self) -> Result<Option<Located>, VerifyError> {
        let newest_holds = self.root.and_then(|root| self.holds((self.size, root))) == Some(true);
        if !newest_holds {
            return locate(self.folder, self.segments, self.marks, self.size, self.found).map(Some);
        }
        if let Some(diff) = &self.found.tree_diff {
            return Ok(Some(tree_damage(diff)));
        }
        let failing = self.marks.iter().zip(&self.found.holds).find(|(_, holds)| !**holds);
        if let Some(((size, _), _)) = failing {
            let message = format!("checkpoints/{size} signs another root than the lines give");
            return Ok(Some(Located { range: Some((0, *size)), ..located(Problem::RootMismatch, message) }));
        }
        let misfit = self.found.misfit.filter(|misfit| misfit.index < self.size);
        Ok(misfit.map(|misfit| {
            let message =
                format!("event {} does not begin as a line must, though it was signed so", misfit.index);
            Located { first_bad: Some(misfit.index), ..located(Problem::Edited, message) }
        }))
    }

    /// What is wrong with the lines that no checkpoint covers yet: they must still follow each other.
    fn unsealed(&self) -> Result<Option<Located>, VerifyError> {
        let found = self.found;
        let at = |index: u64, problem, message| {
            Some(Located { first_bad: Some(index), ..located(problem, message) })
        };
        let bad = if let Some(misfit) = found.misfit {
            let index = misfit.index;
            match misfit.named {
                Some(named) if named > index => at(
                    index,
                    Problem::Missing,
                    format!("event {index} is missing: event {named} follows (not yet sealed)"),
                ),
                Some(named) if named < index => at(
                    index,
                    Problem::Duplicated,
                    format!("event {named} stands in the place of event {index} (not yet sealed)"),
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
                format!("event {index} says that it was recorded before the one before it (not yet sealed)"),
            )
        } else {
            match &found.stop {
                Stop::Gap => at(
                    found.end,
                    Problem::Missing,
                    format!("event {} is missing (not yet sealed)", found.end),
                ),
                Stop::Unreadable { why } => {
                    at(found.end, Problem::Edited, format!("event {} cannot be read: {why}", found.end))
                }
                _ => self.beyond_signed(),
            }
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

    /// A kept checkpoint may be ahead of the newest one for a moment, but never of the lines.
    fn beyond_signed(&self) -> Option<Located> {
        let (size, _) = self.marks.get(self.found.holds.len())?;
        let message = format!("checkpoints/{size} covers events that are not there");
        Some(Located { first_bad: Some(self.found.end), ..located(Problem::Missing, message) })
    }
}
