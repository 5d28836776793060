//! `trailseal import`: foreign records, each imported once.

use std::borrow::Cow;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use trailseal_core::{Ack, Once, RecordError, RecordOnceError, Status, Trail};
use trailseal_event::Event;
use trailseal_import::{Imported, Mapping, MappingError, mapping::BUILT_IN, read};

use super::input;
use super::text::read_text;
use super::writing::{close_trail, open_trail};
use crate::arguments::Import;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::progress;
use crate::settings::Settings;

/// How the error for a file that breaks off begins.
const BROKE_OFF: &str = "could not continue reading from here";
/// Why an event was refused if the policy hides that from a request.
const REFUSED: &str = "it was refused: the handoff stayed full, or the disk is full";

pub(super) fn run(settings: &Settings, arguments: &Import, json: bool) -> Outcome {
    let source = Source::open(arguments)?;
    let trail = open_trail(settings)?;
    let mut summary = Summary::default();
    let imported = source.each(&mut summary, |place, event, summary| take(&trail, place, event, summary));
    close_trail(&trail)?;
    imported?;
    summary.finish(json)
}

/// What to import, and how. All files are opened first, so a misspelt name stops the import before it begins.
pub(super) struct Source {
    mapping: Cow<'static, Mapping>,
    inputs: Vec<(Rc<str>, Box<dyn BufRead>)>,
}

/// Where a record is.
pub(super) struct Place {
    file: Rc<str>,
    line: u64,
}

impl Source {
    pub(super) fn open(arguments: &Import) -> Outcome<Source> {
        let mapping = match (&arguments.from, &arguments.map) {
            (_, Some(path)) => {
                Cow::Owned(Mapping::parse(&read_text(path)?).map_err(|error: MappingError| {
                    Failure::could_not(format!("{}:{}: {}", path.display(), error.line, error.message))
                })?)
            }
            (Some(format), None) => Cow::Borrowed(Mapping::builtin(format).ok_or_else(|| {
                let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                let known = known.join(", ");
                Failure::could_not(format!(
                    "there is no format {format:?}: use one of {known}, or --map FILE"
                ))
            })?),
            (None, None) => return Err(Failure::could_not("give --from FORMAT or --map FILE")),
        };
        let input = |path: &PathBuf| Ok((path.display().to_string().into(), open(path)?));
        Ok(Source { mapping, inputs: arguments.files.iter().map(input).collect::<Outcome<_>>()? })
    }

    /// Calls `take` with each event, until that fails. Anything that is not a record is reported and left out.
    pub(super) fn each(
        self,
        summary: &mut Summary,
        mut take: impl FnMut(Place, &Event, &mut Summary) -> Outcome,
    ) -> Outcome {
        for (file, input) in self.inputs {
            for record in read(input, &self.mapping) {
                summary.read += 1;
                match record {
                    Ok(Imported { line, event }) => {
                        take(Place { file: file.clone(), line }, &event, summary)?
                    }
                    Err(failed) => {
                        if failed.reason.starts_with(BROKE_OFF) {
                            summary.broke_off =
                                Some(format!("{file}, line {}: {}", failed.line, failed.reason));
                        }
                        summary.fail(Place { file: file.clone(), line: failed.line }, failed.reason);
                    }
                }
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> Outcome<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = input::open(path)?;
    let bar = progress::bytes("importing", file.metadata().map_or(0, |data| data.len()));
    Ok(Box::new(BufReader::with_capacity(1 << 20, bar.wrap_read(file))))
}

struct Failed {
    place: Place,
    reason: String,
}

#[derive(Default)]
pub(super) struct Summary {
    read: u64,
    pub(super) recorded: u64,
    pub(super) repeated: u64,
    pub(super) left_out: u64,
    /// Of those recorded, the ones that did not reach their level in time.
    unconfirmed: u64,
    failed: Vec<Failed>,
    /// Why it ended before the input did.
    pub(super) broke_off: Option<String>,
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

impl Summary {
    pub(super) fn fail(&mut self, place: Place, reason: String) {
        tell(&format!("{}, line {}: not recorded: {reason}", place.file, place.line));
        self.failed.push(Failed { place, reason });
    }

    pub(super) fn unconfirmed(&mut self, place: &Place, reason: &str) {
        tell(&format!("{}, line {}: unconfirmed: {reason}", place.file, place.line));
        self.unconfirmed += 1;
    }

    /// How many records are certainly in the trail.
    pub(super) fn confirmed(&self) -> u64 {
        (self.recorded + self.repeated).saturating_sub(self.unconfirmed)
    }

    pub(super) fn finish(self, json: bool) -> Outcome {
        self.print(json)?;
        let is_whole = self.failed.is_empty() && self.unconfirmed == 0;
        match (self.broke_off, is_whole) {
            (Some(what), _) => Err(Failure::CouldNot(what)),
            (None, false) => Err(Failure::No(None)),
            (None, true) => Ok(()),
        }
    }

    fn print(&self, json: bool) -> Outcome {
        if json {
            let failed: Vec<serde_json::Value> = self
                .failed
                .iter()
                .map(|Failed { place, reason }| {
                    serde_json::json!({"file": &*place.file, "line": place.line, "reason": reason})
                })
                .collect();
            let answer = serde_json::json!({
                "read": self.read, "recorded": self.recorded, "repeated": self.repeated,
                "left_out": self.left_out, "unconfirmed": self.unconfirmed, "failed": failed,
            });
            return super::text::write_out(None, format!("{answer}\n").as_bytes());
        }
        let mut more = String::new();
        for (count, what) in [(self.left_out, "left out by the policy"), (self.unconfirmed, "unconfirmed")] {
            if count > 0 {
                more.push_str(&format!(", {} {what}", thousands(count)));
            }
        }
        tell(&format!(
            "{} read, {} recorded, {} already there, {} failed{more}",
            thousands(self.read),
            thousands(self.recorded),
            thousands(self.repeated),
            thousands(self.failed.len() as u64),
        ));
        Ok(())
    }
}
