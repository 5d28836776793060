//! One trail, and its index beside it.

use std::path::Path;
use std::sync::Arc;

use trailseal_core::file::StdFiles;
use trailseal_core::verify::{self, Problem, Verdict, VerifyError, VerifyOptions};
use trailseal_core::{Folder, Manifest};
use trailseal_tlog::VerifyingKey;

use crate::progress;

/// The verdict on one trail.
pub(super) fn verified(
    folder: &Path,
    public_keys: Vec<VerifyingKey>,
    checkpoints: Vec<String>,
) -> Result<Verdict, VerifyError> {
    let bar = progress::bytes("verifying", 0);
    let shown = bar.clone();
    let options = VerifyOptions {
        public_keys,
        checkpoints,
        threads: 0,
        progress: Some(Box::new(move |done, total| {
            shown.set_length(total);
            shown.set_position(done);
        })),
    };
    let verdict = verify_with_index(&Folder::new(folder, Arc::new(StdFiles)), &options);
    bar.finish_and_clear();
    verdict
}

/// Verifies the trail and its index: an index that differs from the lines would hide or invent events.
fn verify_with_index(folder: &Folder, options: &VerifyOptions) -> Result<Verdict, VerifyError> {
    let origin = Manifest::read(folder).ok().flatten().map(|manifest| manifest.origin.as_str().to_owned());
    let (verdict, compared) = std::thread::scope(|scope| {
        let comparing = scope.spawn(|| origin.map(|origin| trailseal_index::compare(folder, &origin)));
        (verify::verify(folder, options), comparing.join())
    });
    let mut verdict = verdict?;
    // An absent, lagging or unreadable index is not a failure: answers come without it.
    if let (true, Ok(Some(Ok(differing)))) = (verdict.ok, compared)
        && let Some(first) = differing.first()
    {
        verdict.ok = false;
        verdict.problem = Some(Problem::StoreDiffers);
        if first.end == first.start + 1 {
            verdict.first_bad = Some(first.start);
        } else {
            verdict.range = Some((first.start, first.end));
        }
        verdict.message = format!(
            "the index does not match the line of event {}, so searches may hide or invent events; the sealed lines \
             are as they were signed. Keep a copy of the folder index/ as evidence, then run `trailseal reindex` to \
             rebuild it",
            first.start
        );
    }
    Ok(verdict)
}
