//! Several trails in one folder: each is verified with the keys and checkpoints that name it, and none may be missing.

use std::collections::BTreeSet;
use std::path::Path;

use trailseal_core::file::StdFiles;
use trailseal_core::verify::{KeptMissing, Problem, Unproven, Verdict, VerifyError};
use trailseal_core::{Folder, Manifest, Slot};
use trailseal_tlog::{Checkpoint, SignedNote, VerifyingKey};

use super::one_trail::verified;
use crate::failure::{Failure, Outcome};

/// Keys and checkpoints that were kept elsewhere.
pub(super) struct Kept<'a> {
    pub(super) keys: &'a [VerifyingKey],
    pub(super) checkpoints: &'a [String],
}

impl Kept<'_> {
    fn keys_of(&self, origin: &str) -> Vec<VerifyingKey> {
        self.keys.iter().filter(|key| key.name() == origin).cloned().collect()
    }

    fn checkpoints_of(&self, origin: &str) -> Outcome<Vec<String>> {
        let mut of_origin = Vec::new();
        for text in self.checkpoints {
            if origin_of(text)? == origin {
                of_origin.push(text.clone());
            }
        }
        Ok(of_origin)
    }

    /// Every origin that a given key or checkpoint names.
    fn origins(&self) -> Outcome<BTreeSet<String>> {
        let mut origins: BTreeSet<String> = self.keys.iter().map(|key| key.name().to_owned()).collect();
        for text in self.checkpoints {
            origins.insert(origin_of(text)?);
        }
        Ok(origins)
    }
}

/// The trail that a checkpoint claims to belong to. The verdict on that slot says whether it is true.
fn origin_of(text: &str) -> Outcome<String> {
    let named =
        |text: &str| Some(Checkpoint::parse(SignedNote::parse(text).ok()?.text()).ok()?.origin.to_string());
    named(text).ok_or_else(|| {
        Failure::could_not(
            "a given checkpoint is not a signed checkpoint: give the whole text as the trail printed it",
        )
    })
}

/// Verifies all slots. A missing slot is also a verdict.
pub(super) fn verify(slots: &[Slot], kept: &Kept<'_>) -> Outcome<Vec<Verdict>> {
    let mut wanted = kept.origins()?;
    let origins: Vec<Option<String>> = slots.iter().map(|slot| named_in(&slot.path)).collect();
    let base = slots.iter().zip(&origins).find_map(|(slot, origin)| {
        origin.as_deref()?.strip_suffix(&format!("/{}", slot.number)).map(str::to_owned)
    });
    let mut verdicts: Vec<Verdict> = Vec::new();
    for (at, (slot, named)) in slots.iter().zip(&origins).enumerate() {
        // Slots have one origin followed by their number.
        let usual = base.as_ref().map(|base| format!("{base}/{}", slot.number));
        let origin = named.clone().or(usual).unwrap_or_else(|| slot.path.display().to_string());
        wanted.remove(&origin);
        let mut verdict = if slot.is_there {
            match verified(&slot.path, kept.keys_of(&origin), kept.checkpoints_of(&origin)?) {
                Err(VerifyError::NoTrail { .. }) => missing(&origin, gone(slot)),
                other => other?,
            }
        } else {
            missing(&origin, gone(slot))
        };
        if verdict.origin.is_empty() {
            verdict.origin = origin;
        }
        let twin = named
            .as_ref()
            .and_then(|named| origins[..at].iter().position(|other| other.as_ref() == Some(named)));
        if let (true, Some(twin)) = (verdict.ok, twin) {
            let what = format!(
                "slots {} and {} belong to one trail, {}: one is a copy of the other",
                slots[twin].number, slot.number, verdict.origin
            );
            verdict = Verdict { ok: false, problem: Some(Problem::OriginMismatch), message: what, ..verdict };
        }
        verdicts.push(verdict);
    }
    // A missing slot with the highest number leaves no gap; only what was kept of it shows it.
    verdicts.extend(wanted.iter().map(|origin| {
        missing(
            origin,
            format!("no slot belongs to the trail {origin}, for which a key or checkpoint was given"),
        )
    }));
    Ok(verdicts)
}

fn gone(slot: &Slot) -> String {
    format!("slot {} is missing: slots are numbered from 0, and a later one exists", slot.number)
}

fn missing(origin: &str, message: String) -> Verdict {
    Verdict {
        ok: false,
        origin: origin.to_owned(),
        tree_size: 0,
        sealed: 0,
        unsealed: 0,
        retired: 0,
        retired_by: Vec::new(),
        first_bad: None,
        range: None,
        problem: Some(Problem::SlotMissing),
        message,
        public_key: None,
        key_pinned: false,
        checkpoint_pinned: false,
        longest_silence_seconds: 0.0,
        cannot_rule_out: vec![Unproven::Rollback, Unproven::KeyReplaced],
        kept: KeptMissing::default(),
        good: None,
    }
}

/// The origin in a slot's `trail.toml`, or else in its newest checkpoint.
fn named_in(path: &Path) -> Option<String> {
    let folder = Folder::new(path, std::sync::Arc::new(StdFiles));
    let manifest = Manifest::read(&folder).ok().flatten();
    manifest.map(|manifest| manifest.origin.to_string()).or_else(|| {
        let note = folder.files().read(&folder.checkpoint(), 1 << 20).ok()?;
        origin_of(std::str::from_utf8(&note).ok()?).ok()
    })
}

/// The slots for which other things were given, but not this one. If it was given for none, each verdict says so.
pub(super) fn without(verdicts: &[Verdict], is_pinned: impl Fn(&Verdict) -> bool) -> Vec<&str> {
    if !verdicts.iter().any(&is_pinned) {
        return Vec::new();
    }
    let slots = verdicts.iter().filter(|verdict| verdict.problem != Some(Problem::SlotMissing));
    slots.filter(|verdict| !is_pinned(verdict)).map(|verdict| verdict.origin.as_str()).collect()
}
