//! Rows of the outbox on their way into a trail.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::{
    Ack, AnyEvent, Receipt, RecordError, RecordOptions, Submission, Submitted, Submitter, Trail, with_causes,
};
use trailseal_event::complete::EventId;
use trailseal_event::{Event, Index, Timestamp};

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
    let by = Submitter { recorded_by: Some(Arc::from(RECORDED_BY)), ..Submitter::default() };
    // What all of them wait for is waited for once, in the end.
    let options = RecordOptions::new().room_wait(DURABLE_WITHIN).linger();
    let mut hand_in = |events: &[Submitted<'_>]| {
        let pending = trail.with(options).record_all_async(Submission { events, by: &by })?;
        Ok(pending.receipts().to_vec())
    };
    let mut done = Done::default();
    let newest = hand_all_in(&mut hand_in, rows, &mut done)?;
    if let Some((index, id)) = newest {
        trail.wait_for(Ack::Durable, index, DURABLE_WITHIN);
        // Whatever a policy allows, a row goes only when its event stays.
        if trail.durable() <= index {
            return Err(RecordError::Unconfirmed { index, id });
        }
    }
    Ok(done)
}

/// Hands events to the trail, all or none.
type HandIn<'a> = dyn FnMut(&[Submitted<'_>]) -> Result<Vec<Receipt>, RecordError> + 'a;

/// Hands rows in as one or, if one of them cannot be recorded, one by one. So each is made ready twice at most, whatever their writers
/// have given. Returns the newest of the events that they are in the trail.
fn hand_all_in(
    hand_in: &mut HandIn<'_>,
    rows: &[Row],
    done: &mut Done,
) -> Result<Option<(Index, EventId)>, RecordError> {
    let mut left = Vec::with_capacity(rows.len());
    for row in rows {
        match Event::from_json(row.event.as_bytes()) {
            Ok(event) => left.push((row, event)),
            Err(error) => done.refused.push((row.place, reason(&error))),
        }
    }
    let events: Vec<Submitted<'_>> = left.iter().map(|(row, event)| one(row, event)).collect();
    let mut newest = None;
    if events.is_empty() {
        return Ok(newest);
    }
    match hand_in(&events) {
        Ok(receipts) => {
            note_newest(&mut newest, &receipts);
            done.recorded.extend(left.iter().map(|(row, _)| row.place));
        }
        Err(error) if is_of_events(&error) => {
            for (at, (row, _)) in left.iter().enumerate() {
                let end = if cfg!(trailseal_fault = "outbox_hands_in_again") { events.len() } else { at + 1 };
                match hand_in(&events[at..end]) {
                    Ok(receipts) => {
                        note_newest(&mut newest, &receipts);
                        done.recorded.push(row.place);
                    }
                    Err(RecordError::At { source, .. }) if is_of_events(&source) => {
                        done.refused.push((row.place, reason(&source)));
                    }
                    Err(error) if is_of_events(&error) => done.refused.push((row.place, reason(&error))),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(error) => return Err(error),
    }
    Ok(newest)
}

fn note_newest(newest: &mut Option<(Index, EventId)>, receipts: &[Receipt]) {
    for receipt in receipts {
        // What a policy samples out has no index, and is done with.
        let Some(index) = receipt.index else { continue };
        if newest.as_ref().is_none_or(|(newest, _)| *newest < index) {
            *newest = Some((index, receipt.id.clone()));
        }
    }
}

fn one<'a>(row: &Row, event: &'a Event) -> Submitted<'a> {
    let (id, masked) = (Some(row.id.clone()), row.masked.clone());
    // Its time is that of its writing, and not that of its recording.
    Submitted { event: AnyEvent::Event(event), id, time: Some(Timestamp::from_micros(row.written)), masked }
}

/// Whether an event itself is the reason, or how large they are together: those will be refused again and again.
fn is_of_events(error: &RecordError) -> bool {
    match error {
        RecordError::At { source, .. } => is_of_events(source),
        RecordError::Invalid(_)
        | RecordError::NoAction(_)
        | RecordError::OtherTenant
        | RecordError::TooLarge { .. }
        | RecordError::Conflict { .. } => true,
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use trailseal_core::{Options, RecordOptions, Submission, Submitter, Trail};

    use super::{Done, REASON_BYTES_MAX, Row, hand_all_in, hand_over, reason};

    fn row(place: i64, id: &str, action: &str, more: &str) -> Row {
        let event = format!(r#"{{"action":"{action}","id":"{id}","details":{{"more":"{more}"}}}}"#);
        Row { place, id: id.to_owned(), event, masked: Vec::new(), written: 0 }
    }

    fn trail(dir: &std::path::Path) -> Trail {
        let mut options = Options::default();
        options.origin = Some("example.com/outbox".to_owned());
        // So a frame takes a quarter of a MiB.
        options.handoff.size_bytes = 1 << 20;
        Trail::open(dir, options).unwrap()
    }

    /// Hands rows in, and counts how often one of them was made ready.
    fn counted(trail: &Trail, rows: &[Row]) -> (Done, usize) {
        let (mut done, mut steps, by) = (Done::default(), 0, Submitter::default());
        let mut hand_in = |events: &[trailseal_core::Submitted<'_>]| {
            steps += events.len();
            trail.with(RecordOptions::new()).record_all(Submission { events, by: &by })
        };
        hand_all_in(&mut hand_in, rows, &mut done).unwrap();
        (done, steps)
    }

    #[test]
    fn whatever_rows_hold_each_is_made_ready_twice_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let trail = trail(dir.path());
        let first: Vec<Row> =
            (0..500).map(|number| row(number, &format!("c{number}"), "first", "")).collect();
        let (done, steps) = counted(&trail, &first);
        assert_eq!((done.recorded.len(), done.refused.len(), steps), (500, 0, 500));
        // All of them conflict; every other one; the last one alone; and together they are too large for a frame.
        let conflicts = |which: fn(i64) -> bool, more: &str| -> Vec<Row> {
            let made = |number| match which(number) {
                true => row(number, &format!("c{number}"), "other", more),
                false => row(number, &format!("n{number}-{}", more.len()), "new", more),
            };
            (0..500).map(made).collect()
        };
        let long = "x".repeat(2_000);
        for (which, more, refused) in [
            ((|_| true) as fn(i64) -> bool, "", 500),
            (|number| number % 2 == 0, "", 250),
            (|number| number == 499, "y", 1),
            (|_| false, &long, 0),
        ] {
            let rows = conflicts(which, more);
            let (done, steps) = counted(&trail, &rows);
            assert_eq!((done.recorded.len(), done.refused.len()), (500 - refused, refused));
            assert!(steps <= 2 * rows.len(), "{steps} steps for {} rows", rows.len());
            let recorded: Vec<i64> = (0..500).filter(|number| !which(*number)).collect();
            assert_eq!(done.recorded, recorded, "in their order");
        }
        // Whether or not they were recorded before.
        let done = hand_over(&trail, &conflicts(|number| number % 2 == 0, "")).unwrap();
        assert_eq!((done.recorded.len(), done.refused.len()), (250, 250));
        trail.close(std::time::Duration::from_secs(30)).unwrap();
    }

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
