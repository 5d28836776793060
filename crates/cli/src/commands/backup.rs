//! `trailseal backup`: copies the trail beside its writer, so that the copy can be opened.

use std::sync::Arc;

use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, back_up, back_up_personal_keys, personal_key_file};

use super::writing::options_in;
use crate::arguments::Backup;
use crate::failure::Outcome;
use crate::output::{tell, thousands};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, arguments: &Backup, json: bool) -> Outcome {
    let dir = settings.dir();
    let mut has_personal = false;
    for folder in super::reading::trails_to_read(&dir)? {
        let to = match folder.strip_prefix(&dir) {
            // `join` with an empty path would add a slash.
            Ok(slot) if !slot.as_os_str().is_empty() => arguments.to.join(slot),
            _ => arguments.to.clone(),
        };
        let options = settings.options()?;
        let options = options_in(settings, options, &folder)?;
        let folder = Folder::new(folder, Arc::new(StdFiles));
        let has_keys = personal_key_file(&folder, &options.personal).exists();
        has_personal |= has_keys;
        let made = back_up(&folder, &to, arguments.with_keys)?;
        // After the lines: a key is on disk before the lines that need it.
        if arguments.personal_keys && has_keys {
            back_up_personal_keys(&folder, &options.personal, &to)?;
        }
        if json {
            let answer = serde_json::json!({
                "origin": made.origin, "dir": to, "sealed": made.sealed, "events": made.events,
                "copied_bytes": made.copied_bytes,
            });
            super::text::write_out(None, format!("{answer}\n").as_bytes())?;
        } else {
            let (events, bytes) = (thousands(made.events), thousands(made.copied_bytes));
            tell(&format!("{}: {events} events in {}, {bytes} bytes copied", made.origin, to.display()));
        }
    }
    if !arguments.with_keys {
        tell(
            "the keys were left out: without the signing key, a copy can be read and verified but not written to",
        );
    }
    match (has_personal, arguments.personal_keys) {
        (true, true) => {
            tell("the keys of personal values are in it: an erasure does not reach this copy of them")
        }
        (true, false) => tell("the keys of personal values were left out: in a copy these cannot be read"),
        (false, _) => {}
    }
    Ok(())
}
