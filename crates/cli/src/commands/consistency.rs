//! `trailseal consistency`: proves that the trail still begins with that of an older checkpoint.

use super::own_files::refuse_own_file;
use super::reading::reader;
use super::text::{read_text, write_text};
use crate::arguments::Consistency;
use crate::failure::Outcome;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, consistency: &Consistency, json: bool) -> Outcome {
    consistency.out.as_deref().map_or(Ok(()), |path| refuse_own_file(&settings.dir(), path))?;
    let older = read_text(&consistency.from)?;
    let proof = reader(settings)?.consistency(&older)?;
    let text = proof.to_text();
    let answer = json.then(|| serde_json::json!({ "consistency": text }));
    write_text(consistency.out.as_deref(), &text, answer)
}
