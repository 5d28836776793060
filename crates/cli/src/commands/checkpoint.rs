//! `trailseal checkpoint`: the newest signed checkpoint.

use serde_json::json;

use super::reading::reader;
use super::text::write_text;
use crate::failure::Outcome;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, json: bool) -> Outcome {
    let (note, checkpoint) = reader(settings)?.checkpoint()?;
    let answer = json!({
        "origin": checkpoint.origin.as_str(),
        "tree_size": checkpoint.size,
        "root_hash": checkpoint.root.to_base64(),
        "checkpoint": note,
    });
    write_text(None, &note, json.then_some(answer))
}
