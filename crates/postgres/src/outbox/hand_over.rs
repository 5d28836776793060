//! Rows of the outbox on their way into a trail.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::{Ack, AnyEvent, RecordError, RecordOptions, Submission, Submitted, Submitter, Trail};
use trailseal_event::{Event, Timestamp};

use super::Row;
use super::turn::Done;

/// What `recorded_by` says: whoever may write into the outbox has written it.
const RECORDED_BY: &str = "outbox";

/// A reason may quote the event, which is as long as its writer likes.
const REASON_BYTES_MAX: usize = 2_000;

/// How long the disk may take.
const DURABLE_WITHIN: Duration = Duration::from_secs(30);

/// Records the rows in order, each once, and waits until they are durable.
///
/// # Errors
/// When the trail does not take events, or not in time. Then some of them may be recorded: handing them over again finds that.
pub(super) fn hand_over(trail: &Trail, rows: &[Row]) -> Result<Done, RecordError> {
    let mut done = Done::default();
    let mut left = Vec::with_capacity(rows.len());
    for row in rows {
        match Event::from_json(row.event.as_bytes()) {
            Ok(event) => left.push((row, event)),
            Err(error) => done.refused.push((row.place, reason(&error))),
        }
    }
    let by = Submitter { recorded_by: Some(Arc::from(RECORDED_BY)), ..Submitter::default() };
    record(trail, &by, left, &mut done)?;
    Ok(done)
}

fn record(
    trail: &Trail,
    by: &Submitter,
    mut rows: Vec<(&Row, Event)>,
    done: &mut Done,
) -> Result<(), RecordError> {
    let options = RecordOptions::new().ack(Ack::Durable).timeout(DURABLE_WITHIN).room_wait(DURABLE_WITHIN);
    while !rows.is_empty() {
        let events: Vec<Submitted<'_>> = rows.iter().map(|(row, event)| one(row, event)).collect();
        match trail.with(options).record_all(Submission { events: &events, by }) {
            Ok(receipts) => {
                // A policy may allow that it is not: then its row must stay.
                let indexes = receipts.iter().filter_map(|receipt| Some((receipt.index?, receipt)));
                let newest = indexes.max_by_key(|(index, _)| *index);
                if let Some((index, receipt)) = newest.filter(|(index, _)| trail.durable() <= *index) {
                    return Err(RecordError::Unconfirmed { index, id: receipt.id.clone() });
                }
                done.recorded.extend(rows.iter().map(|(row, _)| row.place));
                return Ok(());
            }
            Err(RecordError::At { place, source }) if is_of_event(&source) && place < rows.len() => {
                done.refused.push((rows[place].0.place, reason(&source)));
                rows.remove(place);
            }
            Err(RecordError::TooLarge { .. }) if rows.len() > 1 => {
                let second = rows.split_off(rows.len() / 2);
                record(trail, by, rows, done)?;
                rows = second;
            }
            Err(error @ RecordError::TooLarge { .. }) => {
                done.refused.extend(rows.drain(..).map(|(row, _)| (row.place, reason(&error))));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn one<'a>(row: &Row, event: &'a Event) -> Submitted<'a> {
    let (id, masked) = (Some(row.id.clone()), row.masked.clone());
    // Its time is that of its writing, and not that of its recording.
    Submitted { event: AnyEvent::Event(event), id, time: Some(Timestamp::from_micros(row.written)), masked }
}

/// Whether the event itself is the reason, so that it will be refused again and again.
fn is_of_event(error: &RecordError) -> bool {
    matches!(
        error,
        RecordError::Invalid(_)
            | RecordError::NoAction(_)
            | RecordError::OtherTenant
            | RecordError::Conflict { .. }
    )
}

/// Why an event cannot be recorded, as PostgreSQL can keep it.
fn reason(error: &dyn Error) -> String {
    let mut text = with_causes(error).replace('\0', "\u{fffd}");
    if text.len() > REASON_BYTES_MAX {
        text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
        text.push('…');
    }
    text
}

pub(super) fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{REASON_BYTES_MAX, reason};

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Quoting(String);

    #[test]
    fn a_reason_is_one_that_postgresql_keeps_and_no_longer_than_it_may_be() {
        assert_eq!(reason(&Quoting("x\0y".to_owned())), "x\u{fffd}y");
        let long = reason(&Quoting(format!("x{}", "ä".repeat(REASON_BYTES_MAX))));
        assert_eq!(long, format!("x{}…", "ä".repeat(REASON_BYTES_MAX / 2 - 1)));
    }
}
