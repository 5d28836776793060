//! `trailseal import`: foreign records, each of them once.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use trailseal_core::{Ack, Once, RecordError, RecordOnceError, Status, Trail};
use trailseal_import::{Mapping, MappingError, mapping::BUILT_IN, read};

use super::{close_trail, open_trail, read_text};
use crate::arguments::Import;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::progress;
use crate::settings::Settings;

/// How the reason of a file that breaks off begins.
const BROKE_OFF: &str = "could not read on from here";
/// Why an event was refused under a policy that hides it from a request.
const REFUSED: &str = "it was refused: the buffer stayed full, or the disk takes no more";

pub(super) fn run(settings: &Settings, arguments: &Import, json: bool) -> Outcome {
    let own;
    let mapping = match (&arguments.from, &arguments.map) {
        (_, Some(path)) => {
            own = Mapping::parse(&read_text(path)?).map_err(|error: MappingError| {
                Failure::could_not(format!("{}:{}: {}", path.display(), error.line, error.message))
            })?;
            &own
        }
        (Some(format), None) => Mapping::builtin(format).ok_or_else(|| {
            let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            let known = known.join(", ");
            Failure::could_not(format!("there is no format {format:?}: use one of {known}, or --map FILE"))
        })?,
        (None, None) => return Err(Failure::could_not("give --from FORMAT or --map FILE")),
    };
    // All files are opened first, so that a misspelt name stops the import before it begins.
    let inputs: Vec<(PathBuf, Box<dyn BufRead>)> =
        arguments.files.iter().map(|path| Ok((path.clone(), open(path)?))).collect::<Outcome<_>>()?;
    let trail = open_trail(settings)?;
    let mut summary = Summary::default();
    let mut imported = Ok(());
    for (path, input) in inputs {
        imported = import(&trail, mapping, &path, input, &mut summary);
        if imported.is_err() {
            break;
        }
    }
    close_trail(&trail)?;
    imported?;
    summary.print(json)?;
    let is_whole = summary.failed.is_empty() && summary.unconfirmed == 0;
    match (summary.broke_off, is_whole) {
        (Some(what), _) => Err(Failure::CouldNot(what)),
        (None, false) => Err(Failure::No(None)),
        (None, true) => Ok(()),
    }
}

fn open(path: &Path) -> Outcome<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = std::fs::File::open(path).map_err(Failure::io("read", path))?;
    let bar = progress::bytes("importing", file.metadata().map_or(0, |data| data.len()));
    Ok(Box::new(BufReader::with_capacity(1 << 20, bar.wrap_read(file))))
}

struct Failed {
    file: String,
    line: u64,
    reason: String,
}

#[derive(Default)]
struct Summary {
    read: u64,
    recorded: u64,
    repeated: u64,
    left_out: u64,
    /// Of those recorded, the ones that did not reach their level in time.
    unconfirmed: u64,
    failed: Vec<Failed>,
    broke_off: Option<String>,
}

fn import(
    trail: &Trail,
    mapping: &Mapping,
    path: &Path,
    input: Box<dyn BufRead>,
    summary: &mut Summary,
) -> Outcome {
    let file = path.display().to_string();
    for record in read(input, mapping) {
        summary.read += 1;
        let (line, reason) = match record {
            Ok(imported) => match trail.record_once(&imported.event, Ack::Accepted) {
                Ok(Once::New(receipt)) => match receipt.status {
                    Status::SampledOut | Status::Off => {
                        summary.left_out += 1;
                        continue;
                    }
                    // The policy lets a request go on without it. An import that says nothing would be taken for whole.
                    Status::Refused => (imported.line, REFUSED.to_owned()),
                    Status::Accepted | Status::Durable | Status::Stored | Status::Unconfirmed => {
                        summary.recorded += 1;
                        continue;
                    }
                },
                Ok(Once::Repeated { .. }) => {
                    summary.repeated += 1;
                    continue;
                }
                Ok(Once::Conflict { index, id }) => {
                    (imported.line, format!("its id {id} is that of event {index}, which has other content"))
                }
                Err(RecordOnceError::Refused(error @ RecordError::Unconfirmed { .. })) => {
                    // It is kept: to import it again would be answered as a repeat.
                    summary.recorded += 1;
                    summary.unconfirmed += 1;
                    tell(&format!("{file}, line {}: unconfirmed: {error}", imported.line));
                    continue;
                }
                Err(RecordOnceError::Refused(error)) => (imported.line, error.to_string()),
                Err(error) => return Err(error.into()),
            },
            Err(failed) => {
                if failed.reason.starts_with(BROKE_OFF) {
                    summary.broke_off = Some(format!("{file}, line {}: {}", failed.line, failed.reason));
                }
                (failed.line, failed.reason)
            }
        };
        tell(&format!("{file}, line {line}: not recorded: {reason}"));
        summary.failed.push(Failed { file: file.clone(), line, reason });
    }
    Ok(())
}

impl Summary {
    fn print(&self, json: bool) -> Outcome {
        if json {
            let failed: Vec<serde_json::Value> = self
                .failed
                .iter()
                .map(|failed| serde_json::json!({"file": failed.file, "line": failed.line, "reason": failed.reason}))
                .collect();
            let answer = serde_json::json!({
                "read": self.read, "recorded": self.recorded, "repeated": self.repeated,
                "left_out": self.left_out, "unconfirmed": self.unconfirmed, "failed": failed,
            });
            return super::write_out(None, format!("{answer}\n").as_bytes());
        }
        let mut more = String::new();
        for (count, what) in [(self.left_out, "left out by the policy"), (self.unconfirmed, "unconfirmed")] {
            if count > 0 {
                more.push_str(&format!(", {} {what}", thousands(count)));
            }
        }
        tell(&format!(
            "{} read, {} recorded, {} were there already, {} failed{more}",
            thousands(self.read),
            thousands(self.recorded),
            thousands(self.repeated),
            thousands(self.failed.len() as u64),
        ));
        Ok(())
    }
}
