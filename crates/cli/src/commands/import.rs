//! `trailseal import`: foreign records, each imported once.

mod dry_run;
mod summary;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use trailseal_core::{Ack, Once, RecordError, RecordOnceError, Status, Trail};
use trailseal_event::{Event, Timestamp};
use trailseal_import::mapping::BUILT_IN;
use trailseal_import::{Imported, Mapping, MappingError, Reading, Records, Sample, read_in_order};

use super::text::read_text;
use super::writing::{close_trail, open_trail};
use crate::arguments::Import;
use crate::failure::{Failure, Outcome};
use crate::output::tell;
use crate::progress;
use crate::settings::Settings;
pub(super) use summary::{Place, Summary};

/// Why an event was refused if the policy hides that from a request.
const REFUSED: &str = "it was refused: the handoff stayed full, or the disk is full";
/// What `--from` says to have the format found out.
const AUTO: &str = "auto";

pub(super) fn run(settings: &Settings, arguments: &Import, json: bool) -> Outcome {
    let source = Source::open(arguments)?;
    if arguments.dry_run {
        return dry_run::run(settings, source, json);
    }
    // Opened with the first event: an input that is not understood leaves no trail behind.
    let opened = OnceCell::new();
    let mut summary = Summary::default();
    let imported = source.each(&mut summary, |place, event, summary| {
        let trail = match opened.get() {
            Some(trail) => trail,
            None => {
                let trail = open_trail(settings)?;
                opened.get_or_init(|| trail)
            }
        };
        take(trail, place, event, summary)
    });
    if let Some(trail) = opened.get() {
        close_trail(trail)?;
    }
    summary.finish(json, imported)
}

/// What to import, and how. All files are opened first, so a misspelt name stops the import before it begins.
pub(super) struct Source {
    /// None if it is found out for each file.
    mapping: Option<Cow<'static, Mapping>>,
    inputs: Vec<Input>,
    anyway: bool,
}

/// A file to import.
struct Input {
    name: Rc<str>,
    reader: Box<dyn BufRead + Send>,
    /// When it was written.
    written: Option<Timestamp>,
}

impl Source {
    pub(super) fn open(arguments: &Import) -> Outcome<Source> {
        let mapping = match (arguments.from.as_deref(), &arguments.map) {
            (_, Some(path)) => {
                Some(Cow::Owned(Mapping::parse(&read_text(path)?).map_err(|error: MappingError| {
                    Failure::could_not(format!("{}:{}: {}", path.display(), error.line, error.message))
                })?))
            }
            (Some(AUTO), None) => None,
            (Some(format), None) => Some(Cow::Borrowed(Mapping::builtin(format).ok_or_else(|| {
                let known = known_formats();
                Failure::could_not(format!(
                    "there is no format {format:?}: use {AUTO}, {known}, or --map FILE"
                ))
            })?)),
            (None, None) => return Err(Failure::could_not("give --from FORMAT or --map FILE")),
        };
        let inputs = arguments.files.iter().map(|path| open(path)).collect::<Outcome<_>>()?;
        Ok(Source { mapping, inputs, anyway: arguments.anyway })
    }

    /// Calls `take` with each event, until that fails. Anything that is not a record is reported and left out. A file
    /// that the mapping does not understand ends it, before anything of that file is taken.
    pub(super) fn each(
        self,
        summary: &mut Summary,
        mut take: impl FnMut(Place, &Event, &mut Summary) -> Outcome,
    ) -> Outcome {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for Input { name, reader, written } in self.inputs {
            let mut records = records(reader, self.mapping.as_deref());
            let sample = Sample::of(&mut records);
            let Some(mapping) = mapping_for(&name, &sample, self.mapping.as_deref(), true)? else {
                // Nothing in it is a record, which is told of each line.
                count_failures(&name, records, summary);
                continue;
            };
            let doubt = sample.judge(mapping, written).doubt.filter(|_| !self.anyway);
            if let Some(doubt) = doubt {
                return Err(Failure::could_not(format!(
                    "{name}: {doubt}; nothing of it was recorded: choose another --from or --map (--dry-run shows \
                     what comes of it), or go on with --anyway"
                )));
            }
            let mut outcome = Ok(());
            read_in_order(records, Reading { mapping, written }, threads, &mut |imported| {
                summary.read += 1;
                outcome = match imported {
                    Ok(Imported { line, event }) => {
                        summary.count_defaulted(&event);
                        take(Place { file: name.clone(), line }, &event, summary)
                    }
                    Err(failed) => {
                        summary.fail(Place { file: name.clone(), line: failed.line }, failed.reason);
                        Ok(())
                    }
                };
                if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .map_err(|error| Failure::could_not(format!("could not start a thread: {error}")))?;
            outcome?;
        }
        Ok(())
    }
}

fn known_formats() -> String {
    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The records of a file, arranged as the mapping understands them.
fn records(
    reader: Box<dyn BufRead + Send>,
    mapping: Option<&Mapping>,
) -> Records<'_, Box<dyn BufRead + Send>> {
    match mapping {
        Some(mapping) => Records::of(reader, mapping),
        None => Records::of_any(reader),
    }
}

/// The mapping for a file: the one that was given, or the one that fits. None if there is nothing to judge it by.
fn mapping_for<'m>(
    name: &str,
    sample: &Sample,
    given: Option<&'m Mapping>,
    is_told: bool,
) -> Outcome<Option<&'m Mapping>> {
    if given.is_some() || sample.is_empty() {
        return Ok(given);
    }
    match sample.detect() {
        Some((mapping, why)) => {
            if is_told {
                tell(&format!("{name}: taken for {}: {why}", mapping.format()));
            }
            Ok(Some(mapping))
        }
        None => Err(Failure::could_not(format!(
            "{name}: this is none of the known formats ({}; the first record has {}): nothing of it was recorded; name \
             one with --from ({}), or write a mapping for --map",
            sample.taken_for(),
            sample.keys(),
            known_formats()
        ))),
    }
}

fn count_failures<R: BufRead>(name: &Rc<str>, records: Records<'_, R>, summary: &mut Summary) {
    for record in records {
        summary.read += 1;
        let (line, reason) = match record {
            Ok(record) => (record.line, "it is no record of a known format".to_owned()),
            Err(failed) => (failed.line, failed.reason),
        };
        summary.fail(Place { file: name.clone(), line }, reason);
    }
}

fn open(path: &PathBuf) -> Outcome<Input> {
    let name = path.display().to_string().into();
    if path == Path::new("-") {
        let reader = Box::new(BufReader::new(std::io::stdin()));
        return Ok(Input { name, reader, written: timestamp(SystemTime::now()) });
    }
    let file = std::fs::File::open(path).map_err(Failure::io("read", path))?;
    let data = file.metadata().ok();
    let bar = progress::bytes("importing", data.as_ref().map_or(0, std::fs::Metadata::len));
    let written = data.and_then(|data| data.modified().ok()).and_then(timestamp);
    let reader = Box::new(BufReader::with_capacity(1 << 18, bar.wrap_read(file)));
    Ok(Input { name, reader, written })
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(i64::try_from(since.as_micros()).ok()?))
}

fn take(trail: &Trail, place: Place, event: &Event, summary: &mut Summary) -> Outcome {
    match trail.record_once(event, Ack::Accepted) {
        Ok(Once::New(receipt)) => match receipt.status {
            Status::SampledOut | Status::Off => summary.left_out += 1,
            // The policy lets a request continue without it. But a silent import would pass for a complete one.
            Status::Refused => summary.fail(place, REFUSED.to_owned()),
            Status::Accepted | Status::Durable | Status::Stored | Status::Unconfirmed => {
                summary.recorded += 1;
            }
        },
        Ok(Once::Repeated { .. }) => summary.repeated += 1,
        Ok(Once::Conflict { index, id }) => {
            summary.fail(place, format!("its id {id} belongs to event {index}, which has other content"));
        }
        Err(RecordOnceError::Refused(error @ RecordError::Unconfirmed { .. })) => {
            // It is kept: importing it again would be a repeat.
            summary.recorded += 1;
            summary.unconfirmed(&place, &error.to_string());
        }
        // None of the following records would be accepted.
        Err(RecordOnceError::Refused(error @ RecordError::FolderMoved)) => return Err(error.into()),
        Err(RecordOnceError::Refused(error)) => summary.fail(place, error.to_string()),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
