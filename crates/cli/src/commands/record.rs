//! `trailseal record`: events, one JSON object a line.

use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write as _};
use std::path::Path;

use trailseal_core::event::{BadLine, Event};
use trailseal_core::{Ack as Level, Index, Mode, Once, RecordOnceError, Status, Trail};

use super::{close_trail, open_trail};
use crate::arguments::{Ack, Record};
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::settings::Settings;

/// Receipts that wait for the disk together.
const PENDING_MAX: usize = 1_000;
/// A longer line is not read into memory.
const LINE_BYTES_MAX: usize = 16 << 20;

pub(super) fn run(settings: &Settings, arguments: &Record, json: bool) -> Outcome {
    if arguments.ack == Some(Ack::Store) {
        return Err(Failure::could_not(
            "no store is configured, so --ack store cannot be reached: use --ack durable",
        ));
    }
    let input: Box<dyn Read> = match arguments.file.as_deref() {
        Some(path) if path != Path::new("-") => {
            Box::new(std::fs::File::open(path).map_err(Failure::io("read", path))?)
        }
        _ => Box::new(std::io::stdin()),
    };
    let mut input = BufReader::with_capacity(1 << 18, input);
    let trail = open_trail(settings)?;
    let mut session = Session {
        level: level(settings, arguments.ack)?,
        trail: &trail,
        out: json.then(|| BufWriter::with_capacity(1 << 16, std::io::stdout())),
        pending: Vec::new(),
        counts: Counts::default(),
    };
    let read = session.read_all(&mut input);
    let Session { counts, .. } = session;
    // What was accepted is made durable and sealed even if the input could not be read to its end.
    close_trail(&trail)?;
    read?;
    if !json {
        tell(&counts.summary());
    }
    if counts.bad + counts.unconfirmed > 0 { Err(Failure::No(None)) } else { Ok(()) }
}

#[derive(Default)]
struct Counts {
    recorded: u64,
    repeated: u64,
    unconfirmed: u64,
    bad: u64,
}

impl Counts {
    fn summary(&self) -> String {
        let mut text = format!("{} recorded", thousands(self.recorded));
        for (count, what) in [
            (self.repeated, "were there already"),
            (self.unconfirmed, "unconfirmed"),
            (self.bad, "not recorded"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {} {what}", thousands(count)));
            }
        }
        text
    }
}

struct Pending {
    index: Index,
    id: String,
    repeated: bool,
}

struct Session<'a> {
    trail: &'a Trail,
    level: Level,
    out: Option<BufWriter<std::io::Stdout>>,
    pending: Vec<Pending>,
    counts: Counts,
}

impl Session<'_> {
    fn read_all(&mut self, input: &mut BufReader<Box<dyn Read>>) -> Outcome {
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            if !read_line(input, &mut line)
                .map_err(|error| Failure::could_not(format!("could not read on: {error}")))?
            {
                break;
            }
            self.take(number, &line)?;
            // Told as soon as the level is reached: before more input is waited for.
            let must_wait = !input.buffer().contains(&b'\n');
            if must_wait || self.pending.len() >= PENDING_MAX {
                self.flush()?;
            }
        }
        self.flush()
    }

    fn take(&mut self, number: u64, line: &[u8]) -> Outcome {
        let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let text = line.trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        if text.len() > LINE_BYTES_MAX {
            return self.refuse(number, &format!("it is longer than {} MiB", LINE_BYTES_MAX >> 20));
        }
        let event = match Event::from_json(text) {
            Ok(event) => event,
            Err(error) => return self.refuse_bad(number, &error),
        };
        match self.trail.record_once(&event, Level::Accepted) {
            Ok(Once::New(receipt)) => {
                self.counts.recorded += 1;
                self.pending.push(Pending {
                    index: receipt.index,
                    id: receipt.id.as_str().to_owned(),
                    repeated: false,
                });
                Ok(())
            }
            Ok(Once::Repeated { index, id }) => {
                self.counts.repeated += 1;
                self.pending.push(Pending { index, id, repeated: true });
                Ok(())
            }
            Ok(Once::Conflict { index, id }) => {
                self.refuse(number, &format!("its id {id} is that of event {index}, which has other content"))
            }
            Err(RecordOnceError::Refused(error)) => self.refuse(number, &error.to_string()),
            Err(error) => Err(error.into()),
        }
    }

    fn refuse_bad(&mut self, number: u64, error: &BadLine) -> Outcome {
        self.refuse(number, &error.to_string())
    }

    fn refuse(&mut self, number: u64, reason: &str) -> Outcome {
        self.counts.bad += 1;
        self.flush()?;
        tell(&format!("line {number}: not recorded: {reason}"));
        Ok(())
    }

    /// Waits until what is pending has reached its level, and tells so.
    fn flush(&mut self) -> Outcome {
        let newest = self.pending.iter().map(|pending| pending.index).max();
        let mut is_unconfirmed = false;
        if let (Level::Durable, Some(newest)) = (self.level, newest) {
            is_unconfirmed = self.trail.wait_for(Level::Durable, newest) != Status::Durable;
            if is_unconfirmed {
                self.counts.unconfirmed += self.pending.len() as u64;
            }
        }
        let pending = std::mem::take(&mut self.pending);
        if self.answer(&pending, is_unconfirmed).is_err_and(|error| error.kind() != ErrorKind::BrokenPipe) {
            return Err(Failure::could_not(
                "could not write the receipts; what was accepted so far is recorded",
            ));
        }
        Ok(())
    }

    /// Writes receipts, if somebody wants them. Whoever stops reading them does not stop the recording.
    fn answer(&mut self, pending: &[Pending], is_unconfirmed: bool) -> std::io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let origin = self.trail.origin();
        for Pending { index, id, repeated } in pending {
            let mut answer = serde_json::json!({"origin": origin, "index": index.get(), "id": id});
            if *repeated {
                answer["repeated"] = true.into();
            }
            if is_unconfirmed {
                answer["unconfirmed"] = true.into();
            }
            let written = writeln!(out, "{answer}");
            if written.is_err() {
                self.out = None;
                return written;
            }
        }
        let flushed = out.flush();
        if flushed.is_err() {
            self.out = None;
        }
        flushed
    }
}

/// The level that the policy gives, or a higher one that was asked for.
fn level(settings: &Settings, ack: Option<Ack>) -> Outcome<Level> {
    let is_durable = ack == Some(Ack::Durable) || settings.options()?.mode == Mode::Sync;
    Ok(if is_durable { Level::Durable } else { Level::Accepted })
}

/// Reads one line without its end; `false` at the end of the input. Of a line over the limit only a little
/// more than the limit is kept.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut has_any = false;
    loop {
        let bytes = match input.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if bytes.is_empty() {
            return Ok(has_any);
        }
        has_any = true;
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = (LINE_BYTES_MAX + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let consumed = end.map_or(bytes.len(), |end| end + 1);
        input.consume(consumed);
        if end.is_some() {
            return Ok(true);
        }
    }
}
