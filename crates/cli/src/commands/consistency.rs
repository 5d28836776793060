//! `trailseal consistency`: that the trail still begins with the one of an older checkpoint.

use super::{read_text, reader, write_out};
use crate::arguments::Consistency;
use crate::failure::Outcome;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, consistency: &Consistency) -> Outcome {
    let older = read_text(&consistency.from)?;
    let proof = reader(settings)?.consistency(&older)?;
    write_out(consistency.out.as_deref(), proof.to_text().as_bytes())
}
