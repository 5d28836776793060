//! `trailseal succeed`: starts a new trail whose first line names the last good state of an old one.

use std::path::Path;
use std::sync::Arc;

use trailseal_core::file::StdFiles;
use trailseal_core::verify::{VerifyOptions, verify};
use trailseal_core::{Folder, Notice, Reader, Succeeded, Trail};
use trailseal_tlog::Origin;

use super::reading::refuse_slots;
use super::writing::{attach, close_trail};
use crate::arguments::Succeed;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::settings::Settings;

/// No checkpoint is longer.
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;

pub(super) fn run(settings: &Settings, arguments: &Succeed, is_dir_given: bool, json: bool) -> Outcome {
    if !is_dir_given {
        return Err(Failure::could_not("name the new trail's folder: --dir NEW"));
    }
    let (old, new) = (absolute(&arguments.old)?, absolute(&settings.dir())?);
    if new.starts_with(&old) || old.starts_with(&new) {
        return Err(Failure::could_not("the new trail needs its own folder, next to the old one: --dir NEW"));
    }
    refuse_slots(&arguments.old, "")?;
    refuse_held(&arguments.old)?;
    let succeeded = good_end(arguments)?;
    if succeeded.origin == arguments.origin {
        return Err(Failure::could_not(format!(
            "{} is the old trail's name: the new one needs a different name, such as {0}/2",
            arguments.origin
        )));
    }
    let mut options = settings.one_shot_options()?;
    options.origin =
        Some(Origin::new(&arguments.origin).map(|origin| origin.to_string()).map_err(Failure::could_not)?);
    // Whoever names the folder of a new trail wants one.
    options.create = true;
    options.succeeds = Some(succeeded.clone());
    options.on_notice = Some(Arc::new(|notice: &Notice| tell(&format!("notice: {notice}"))));
    let trail = Trail::open(&new, options)?;
    attach(settings, &trail, None)?;
    close_trail(&trail)?;
    let good = succeeded.good.as_ref();
    if json {
        let answer = serde_json::json!({
            "origin": arguments.origin, "dir": settings.dir(),
            "succeeds": {
                "origin": succeeded.origin, "tree_size": good.map(|good| good.0),
                "root": good.map(|good| good.1.as_str()), "reason": succeeded.reason,
            },
        });
        return super::text::write_out(None, format!("{answer}\n").as_bytes());
    }
    let at = match good {
        Some((size, _)) => format!("at its last good size, {}", thousands(*size)),
        None => "of which nothing signed is good".to_owned(),
    };
    tell(&format!(
        "{} takes over from {}, {at}; keep the old folder unchanged: it holds the events up to there",
        arguments.origin, succeeded.origin
    ));
    Ok(())
}

/// Refuses while a process still writes: what it goes on to sign would be a second continuation of the old trail.
fn refuse_held(old: &Path) -> Outcome {
    // One whose `trail.toml` is gone or damaged cannot be opened for writing either.
    let Ok(reader) = Reader::open(old, Arc::new(StdFiles)) else { return Ok(()) };
    let Some(holder) = reader.holder() else { return Ok(()) };
    let who = holder.pid.map_or_else(|| "another process".to_owned(), |pid| format!("the process {pid}"));
    Err(Failure::could_not(format!(
        "{who} still writes to {}, and its events would come after the end that the new trail names: stop it, then run this \
         again",
        old.display()
    )))
}

/// What is good in the old trail, which is only read.
fn good_end(arguments: &Succeed) -> Outcome<Succeeded> {
    let folder = Folder::new(&arguments.old, Arc::new(StdFiles));
    let public_keys = super::verify::keys(&arguments.public_key)?;
    let verdict = verify(&folder, &VerifyOptions { public_keys, ..VerifyOptions::default() })?;
    let origin = match verdict.origin.is_empty() {
        false => verdict.origin.clone(),
        true => named_origin(&folder).ok_or_else(|| {
            Failure::could_not(format!(
                "{} does not say which trail it was: give its public key with --public-key KEY",
                arguments.old.display()
            ))
        })?,
    };
    let reason = match &arguments.reason {
        Some(reason) => reason.clone(),
        None if verdict.ok => "it verifies but was not to continue".to_owned(),
        None => verdict.message.clone(),
    };
    let good = verdict.good.map(|(size, root)| (size, root.to_base64()));
    Ok(Succeeded { origin, good, reason })
}

/// The name in the newest checkpoint, whoever signed it.
fn named_origin(folder: &Folder) -> Option<String> {
    let text = folder.files().read(&folder.checkpoint(), CHECKPOINT_BYTES_MAX).ok()?;
    Some(Origin::new(std::str::from_utf8(&text).ok()?.lines().next()?).ok()?.to_string())
}

fn absolute(path: &Path) -> Outcome<std::path::PathBuf> {
    std::path::absolute(path).map_err(Failure::io("find", path))
}
