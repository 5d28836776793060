//! `trailseal backup`: copies the trail beside its writer, so that the copy can be opened.

use std::sync::Arc;

use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, back_up};

use crate::arguments::Backup;
use crate::failure::Outcome;
use crate::output::{tell, thousands};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, arguments: &Backup, json: bool) -> Outcome {
    let dir = settings.dir();
    for folder in super::reading::trails_to_read(&dir)? {
        let to = match folder.strip_prefix(&dir) {
            // `join` with an empty path would add a slash.
            Ok(slot) if !slot.as_os_str().is_empty() => arguments.to.join(slot),
            _ => arguments.to.clone(),
        };
        let made = back_up(&Folder::new(folder, Arc::new(StdFiles)), &to, arguments.with_keys)?;
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
    Ok(())
}
