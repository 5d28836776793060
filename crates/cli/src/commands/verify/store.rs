//! A shared store: every origin in it.

use std::sync::Arc;

use trailseal_core::deliver::MustEnd;
use trailseal_core::file::StdFiles;
use trailseal_core::verify::Verdict;
use trailseal_core::{Folder, trails_in};
use trailseal_postgres::check_readable;
use trailseal_postgres::verify::{StoreVerifyOptions, verify_store};
use trailseal_tlog::VerifyingKey;

use crate::failure::{Failure, Outcome};
use crate::progress;
use crate::settings::Settings;
use crate::store::Store;

/// The verdict on each origin in the store.
pub(super) fn verified(
    settings: &Settings,
    store: &Store,
    public_keys: Vec<VerifyingKey>,
    checkpoints: Vec<String>,
) -> Outcome<Vec<Verdict>> {
    // Trails that are here by chance, or because this is where they are written.
    let folders = trails_in(&settings.dir(), &StdFiles).unwrap_or_default();
    let trails = folders.iter().map(|folder| Folder::new(folder, Arc::new(StdFiles))).collect();
    let bar = progress::events("verifying", 0);
    let shown = bar.clone();
    let options = StoreVerifyOptions {
        public_keys,
        checkpoints,
        trails,
        progress: Some(Box::new(move |done, total| {
            shown.set_length(total.max(done));
            shown.set_position(done);
        })),
    };
    let url = store.url();
    let mut connection = url.connect(&MustEnd::default())?;
    check_readable(&mut connection)?;
    let verdicts = verify_store(&mut connection, &options);
    bar.finish_and_clear();
    let verdicts = verdicts?;
    if verdicts.is_empty() {
        return Err(Failure::could_not(format!(
            "{} holds no trail: nothing was delivered yet, or all of it was removed",
            url.shown()
        )));
    }
    Ok(verdicts)
}
