//! Several trails in one folder: each is verified with the keys and checkpoints that name it, and none may be missing.

use std::collections::BTreeSet;
use std::path::Path;

use trailseal_core::file::StdFiles;
use trailseal_core::verify::{Problem, Unproven, Verdict, VerifyError};
use trailseal_core::{Folder, Manifest, Slot};
use trailseal_tlog::{Checkpoint, SignedNote, VerifyingKey};

use super::one::verified;
use crate::failure::{Failure, Outcome};

/// What was kept elsewhere.
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

    /// Every origin that something names.
    fn origins(&self) -> Outcome<BTreeSet<String>> {
        let mut origins: BTreeSet<String> = self.keys.iter().map(|key| key.name().to_owned()).collect();
        for text in self.checkpoints {
            origins.insert(origin_of(text)?);
        }
        Ok(origins)
    }
}

/// Which trail a checkpoint says it is of. Whether that is true its slot's verdict says.
fn origin_of(text: &str) -> Outcome<String> {
    let named =
        |text: &str| Some(Checkpoint::parse(SignedNote::parse(text).ok()?.text()).ok()?.origin.to_string());
    named(text).ok_or_else(|| {
        Failure::could_not(
            "a checkpoint given is not a signed checkpoint: give the whole text as the trail printed it",
        )
    })
}

/// Verifies all slots. What is missing is a verdict, too.
pub(super) fn verify(slots: &[Slot], kept: &Kept<'_>) -> Outcome<Vec<Verdict>> {
    let mut wanted = kept.origins()?;
    let origins: Vec<Option<String>> = slots.iter().map(|slot| named_in(&slot.path)).collect();
    let base = slots.iter().zip(&origins).find_map(|(slot, origin)| {
        origin.as_deref()?.strip_suffix(&format!("/{}", slot.number)).map(str::to_owned)
    });
    let mut verdicts: Vec<Verdict> = Vec::new();
    for (at, (slot, named)) in slots.iter().zip(&origins).enumerate() {
        // Slots have one origin, and their number behind it.
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
                "slots {} and {} are of one trail, {}: one is a copy of the other",
                slots[twin].number, slot.number, verdict.origin
            );
            verdict = Verdict { ok: false, problem: Some(Problem::OriginMismatch), message: what, ..verdict };
        }
        verdicts.push(verdict);
    }
    // A slot that had the highest number leaves no gap; who kept something of it knows.
    verdicts.extend(wanted.iter().map(|origin| {
        missing(origin, format!("no slot is of the trail {origin}, of which a key or checkpoint was given"))
    }));
    Ok(verdicts)
}

fn gone(slot: &Slot) -> String {
    format!("slot {} is missing, though slots are taken from 0 on and a later one is there", slot.number)
}

fn missing(origin: &str, message: String) -> Verdict {
    Verdict {
        ok: false,
        origin: origin.to_owned(),
        tree_size: 0,
        sealed: 0,
        unsealed: 0,
        retired: 0,
        first_bad: None,
        range: None,
        problem: Some(Problem::SlotMissing),
        message,
        public_key: None,
        key_pinned: false,
        checkpoint_pinned: false,
        longest_silence_seconds: 0.0,
        cannot_rule_out: vec![Unproven::Rollback, Unproven::KeyReplaced],
        good: None,
    }
}

/// The origin that a slot's `trail.toml` names, or else its newest checkpoint.
fn named_in(path: &Path) -> Option<String> {
    let folder = Folder::new(path, std::sync::Arc::new(StdFiles));
    let manifest = Manifest::read(&folder).ok().flatten();
    manifest.map(|manifest| manifest.origin.to_string()).or_else(|| {
        let note = folder.files().read(&folder.checkpoint(), 1 << 20).ok()?;
        origin_of(std::str::from_utf8(&note).ok()?).ok()
    })
}

/// The slots that something was given for, and not this: of some only, since of none is what each verdict says.
pub(super) fn without(verdicts: &[Verdict], is_pinned: impl Fn(&Verdict) -> bool) -> Vec<&str> {
    if !verdicts.iter().any(&is_pinned) {
        return Vec::new();
    }
    let slots = verdicts.iter().filter(|verdict| verdict.problem != Some(Problem::SlotMissing));
    slots.filter(|verdict| !is_pinned(verdict)).map(|verdict| verdict.origin.as_str()).collect()
}
