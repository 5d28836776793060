//! `trailseal import`: foreign records, each imported once.

mod blocks;
#[cfg(feature = "postgres")]
mod database;
#[cfg(not(feature = "postgres"))]
mod database_absent;
mod dry_run;
mod rows;
mod source;
mod sqlite;
mod summary;
mod which_table;

use std::cell::OnceCell;

use trailseal_core::{AnyEvent, RecordError, RecordOptions, Status, Trail};

use super::record::refused::is_by_trail;
use super::writing::{close_trail, open_trail_with};
use crate::arguments::Import;
use crate::failure::Outcome;
use crate::settings::Settings;
pub(super) use source::Source;
pub(super) use summary::{Place, Summary};

const ONCE: RecordOptions = RecordOptions::new().once();

/// Why an event was refused if the policy hides that from a request.
const REFUSED: &str = "it was refused: the handoff stayed full, or the disk is full";
pub(super) fn run(settings: &Settings, arguments: &Import, json: bool) -> Outcome {
    let source = Source::open(arguments)?;
    if arguments.dry_run {
        return dry_run::run(settings, source, json);
    }
    let store = settings.own_store()?;
    // Opened with the first event: an input that is not understood leaves no trail behind.
    let opened = OnceCell::new();
    let mut is_unopenable = false;
    let mut summary = Summary::default();
    let imported = source.each(&mut summary, |place, event, summary| {
        let trail = match opened.get() {
            Some(trail) => trail,
            None => {
                let opening = open_trail_with(settings, settings.one_shot_options()?, store.as_ref());
                let trail = opening.inspect_err(|_| is_unopenable = true)?;
                opened.get_or_init(|| trail)
            }
        };
        take(trail, place, event, summary)
    });
    if let Some(trail) = opened.get() {
        close_trail(trail)?;
    }
    if is_unopenable {
        // Nothing was imported: there is nothing to sum up.
        return imported;
    }
    summary.finish(json, imported)
}

fn take(trail: &Trail, place: Place, event: &[u8], summary: &mut Summary) -> Outcome {
    match trail.with(ONCE).record(AnyEvent::Json(event)) {
        Ok(receipt) => match receipt.status {
            Status::Repeated { .. } => summary.repeated += 1,
            Status::SampledOut | Status::Off => summary.left_out += 1,
            // The policy lets a request continue without it. But a silent import would pass for a complete one.
            Status::Refused => summary.refuse(place, REFUSED.to_owned()),
            Status::Accepted | Status::Durable | Status::Stored | Status::Unconfirmed => {
                summary.recorded += 1
            }
        },
        Err(error @ RecordError::Unconfirmed { .. }) => {
            // It is kept: importing it again would be a repeat.
            summary.recorded += 1;
            summary.unconfirmed(&place, &error.to_string());
        }
        Err(error @ RecordError::Conflict { .. }) => summary.fail(
            place,
            format!("{error}: give a changed mapping a new format name, or import with the old one"),
        ),
        // None of the following records would be accepted.
        Err(error @ (RecordError::FolderMoved | RecordError::Read(_))) => return Err(error.into()),
        Err(error) if is_by_trail(&error) => summary.refuse(place, error.to_string()),
        Err(error) => summary.fail(place, error.to_string()),
    }
    Ok(())
}
