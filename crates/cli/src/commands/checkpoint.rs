//! `trailseal checkpoint`: the newest signed checkpoint, of each slot if there are several.

use serde_json::json;

use super::reading::readers;
use super::text::write_text;
use crate::failure::Outcome;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, json: bool) -> Outcome {
    for (before, reader) in readers(settings)?.into_iter().enumerate() {
        let (note, checkpoint) = reader.checkpoint()?;
        let answer = json!({
            "origin": checkpoint.origin.as_str(),
            "tree_size": checkpoint.size,
            "root_hash": checkpoint.root.to_base64(),
            "checkpoint": note,
        });
        // An empty line between two, so that they can be told apart.
        let apart = if before > 0 { "\n" } else { "" };
        write_text(None, &format!("{apart}{note}"), json.then_some(answer))?;
    }
    Ok(())
}
