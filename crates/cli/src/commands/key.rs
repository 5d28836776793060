//! `trailseal key`: show or replace the signing key.

use super::{close_trail, open_trail, reader, write_out};
use crate::arguments::Key;
use crate::failure::{Failure, Outcome};
use crate::output::tell;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, command: &Key) -> Outcome {
    match command {
        Key::Show => {
            let reader = reader(settings)?;
            let keys = &reader.manifest().keys;
            let current = keys.last().map(|key| key.public_key.to_string()).unwrap_or_default();
            let mut text = format!("{current}\n");
            for (number, key) in keys.iter().enumerate().rev().skip(1) {
                let to = key.to.map_or_else(String::new, |to| to.to_string());
                text.push_str(&format!(
                    "earlier key {}: {} (tree sizes {}..{to})\n",
                    number + 1,
                    key.public_key,
                    key.from
                ));
            }
            write_out(None, text.as_bytes())
        }
        Key::Rotate => {
            // A trail is made by recording into it, not by rotating a key that it does not have.
            reader(settings)?;
            let trail = open_trail(settings)?;
            let rotated = trail.rotate_key().map_err(Failure::from);
            close_trail(&trail)?;
            let public_key = rotated?;
            tell(
                "the trail is signed by a new key from now on; keep it beside the checkpoints that you keep elsewhere",
            );
            write_out(None, format!("{public_key}\n").as_bytes())
        }
    }
}
