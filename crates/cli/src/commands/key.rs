//! `trailseal key`: show or replace the signing key.

use serde_json::json;
use trailseal_core::Reader;

use super::reading::{reader, readers};
use super::text::write_text;
use super::writing::{close_trail, open_trail_in};
use crate::arguments::Key;
use crate::failure::{Failure, Outcome};
use crate::output::tell;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, command: &Key, json: bool) -> Outcome {
    match command {
        // A key names its trail, so those of several slots can be told apart.
        Key::Show => readers(settings)?.iter().try_for_each(|reader| show(reader, json)),
        Key::Rotate => rotate(settings, json),
    }
}

fn show(reader: &Reader, json: bool) -> Outcome {
    let keys = &reader.manifest().keys;
    let current = keys.last().map(|key| key.public_key.to_string()).unwrap_or_default();
    let mut text = format!("{current}\n");
    for (number, key) in keys.iter().enumerate().rev().skip(1) {
        let to = key.to.map_or_else(String::new, |to| to.to_string());
        text.push_str(&format!(
            "earlier key {}: {} (tree sizes {} to {to})\n",
            number + 1,
            key.public_key,
            key.from
        ));
    }
    let answer = json.then(|| {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| json!({"public_key": key.public_key.to_string(), "from": key.from, "to": key.to}))
            .collect();
        json!({"public_key": current, "keys": keys})
    });
    write_text(None, &text, answer)
}

fn rotate(settings: &Settings, json: bool) -> Outcome {
    // Recording creates a trail; rotating a key that does not exist does not.
    reader(settings)?;
    let trail = open_trail_in(settings, &settings.dir())?;
    let rotated = trail.rotate_key().map_err(Failure::from);
    close_trail(&trail)?;
    let public_key = rotated?;
    tell("from now on a new key signs the trail; keep it with the checkpoints that you keep elsewhere");
    let text = format!("{public_key}\n");
    write_text(None, &text, json.then(|| json!({"public_key": public_key.to_string()})))
}
