//! The files of an import: what they are taken for, and whether the mapping understands them.

use std::borrow::Cow;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use trailseal_event::Timestamp;
use trailseal_import::mapping::BUILT_IN;
use trailseal_import::{Mapping, MappingError, Reading, Records, Sample, Written, read_in_order};

use super::summary::{Place, Summary};
use crate::arguments::Import;
use crate::commands::{input, text::read_text};
use crate::failure::{Failure, Outcome};
use crate::output::tell;
use crate::progress;

/// What `--from` says to have the format found out.
const AUTO: &str = "auto";

/// What to import, and how. All files are opened first, so a misspelt name stops the import before it begins.
pub(in crate::commands) struct Source {
    /// None if it is found out for each file.
    pub(super) mapping: Option<Cow<'static, Mapping>>,
    pub(super) inputs: Vec<Input>,
    anyway: bool,
}

/// A file to import.
pub(super) struct Input {
    pub(super) name: Rc<str>,
    pub(super) reader: Box<dyn BufRead + Send>,
    /// When it was written.
    pub(super) written: Option<Timestamp>,
}

impl Source {
    pub(in crate::commands) fn open(arguments: &Import) -> Outcome<Source> {
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
        let inputs = arguments.files.iter().map(open).collect::<Outcome<_>>()?;
        Ok(Source { mapping, inputs, anyway: arguments.anyway })
    }

    /// Calls `take` with the JSON of each event, until that fails. Anything that is not a record is reported and left out. A file
    /// that the mapping does not understand ends it, before anything of that file is taken.
    pub(in crate::commands) fn each(
        self,
        summary: &mut Summary,
        mut take: impl FnMut(Place, Vec<u8>, &mut Summary) -> Outcome,
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
                    "{name}: {doubt}; nothing of it was recorded: choose another --from ({AUTO}, {}) or --map, see \
                     --dry-run, or go on with --anyway",
                    known_formats()
                )));
            }
            let mut outcome = Ok(());
            read_in_order(records, Reading { mapping, written }, threads, &mut |event| {
                summary.read += 1;
                outcome = match event {
                    Ok(Written { line, json, defaulted }) => {
                        summary.count_defaulted(defaulted);
                        take(Place { file: name.clone(), line }, json, summary)
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
pub(super) fn records(
    reader: Box<dyn BufRead + Send>,
    mapping: Option<&Mapping>,
) -> Records<'_, Box<dyn BufRead + Send>> {
    match mapping {
        Some(mapping) => Records::of(reader, mapping),
        None => Records::of_any(reader),
    }
}

/// The mapping for a file: the one that was given, or the one that fits. None if there is nothing to judge it by.
pub(super) fn mapping_for<'m>(
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
    let file = input::open(path)?;
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
