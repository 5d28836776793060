//! `trailseal checkpoint`: the newest signed checkpoint.

use super::{reader, write_out};
use crate::failure::Outcome;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings) -> Outcome {
    let (note, _) = reader(settings)?.checkpoint()?;
    write_out(None, note.as_bytes())
}
