//! `trailseal record`: records events, one JSON object per line, or an array of them.

pub(super) mod array;
pub(super) mod refused;

use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use refused::{Refused, is_by_trail};
use trailseal_core::{
    Ack as Level, AnyEvent, Options, PendingReceipt, Receipt, RecordError, RecordOptions, Status, Submission,
    Submitter, Trail, with_causes,
};
use trailseal_event::policy::OnFailure;
use trailseal_event::{BadLine, Index, Warnings};

use super::input::{self, InputFor, LINE_BYTES_MAX};
use super::writing::{close_trail, open_trail_with};
use crate::arguments::{Ack, Record};
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::settings::Settings;
use crate::store::Store;

/// Many are recorded before anybody waits for the disk.
const ONCE: RecordOptions = RecordOptions::new().once().linger();

/// How many receipts wait for the disk together.
const PENDING_MAX: usize = 1_000;
/// The minimum time to wait for the disk or store.
const WAIT_MIN: Duration = Duration::from_secs(30);
/// How long a close may take if the folder has been moved.
const CLOSE_MOVED_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) fn run(settings: &Settings, arguments: &Record, json: bool) -> Outcome {
    let store = settings.store(&arguments.store)?;
    if arguments.ack == Some(Ack::Store) && store.is_none() && !settings.uses_index()? {
        return Err(Failure::could_not(
            "there is no store: name one with --store, set index.enabled = true, or use --ack durable",
        ));
    }
    let mut file = input::of_events(arguments.file.as_deref())?.map(lines_of);
    file.as_mut().map_or(Ok(()), refuse_other_coding)?;
    let mut options = settings.one_shot_options()?;
    options.strict = arguments.strict;
    // An array that is there already is read first: what cannot be read makes no trail.
    let array = file.as_mut().map(array_in).transpose()?.flatten();
    if let Some(array) = &array {
        let texts = array::texts_of(array)?;
        make_room(settings, &mut options, &texts);
    }
    let trail = open_trail_with(settings, options.clone(), store.as_ref())?;
    let level = level(arguments.ack);
    let mut session = Session {
        level,
        options: ONCE.ack(level).room_wait(trail.room_wait()),
        settings,
        is_hung_up: hang_ups()?,
        trail: trail.clone(),
        opening: options,
        store: store.as_ref(),
        out: json.then(|| BufWriter::with_capacity(1 << 16, std::io::stdout())),
        pending: Vec::new(),
        counts: Counts::default(),
        told: Told::default(),
        refused: Refused::default(),
    };
    let read = match (array, file) {
        (Some(array), _) => session.take_array(&array),
        (None, Some(mut file)) => session.read_all(&mut file),
        (None, None) => {
            let mut lines = lines_of(InputFor::new(&trail));
            refuse_other_coding(&mut lines).and_then(|()| session.read_all(&mut lines))
        }
    };
    let Session { counts, told, trail, mut refused, .. } = session;
    refused.finish();
    if let Some(error) = input::moved(&trail) {
        // What was accepted goes into the moved folder. If the folder was removed, there is nothing to wait for.
        let _ = trail.close(CLOSE_MOVED_TIMEOUT);
        return Err(error.into());
    }
    // What was accepted is made durable and sealed even if the input could not be read to its end.
    let closed = close_trail(&trail);
    if !json {
        told.finish();
        if closed.is_ok() && read.is_ok() || counts.recorded > 0 {
            // What a close could not finish is told behind it.
            tell(&counts.summary(if closed.is_ok() { "recorded" } else { "accepted" }));
        }
        if counts.recorded == 0 && counts.not_json > 0 && counts.not_json == counts.bad {
            tell(OTHER_FORMS);
        }
    }
    closed.and(read)?;
    if counts.bad + counts.unconfirmed + counts.refused > 0 { Err(Failure::No(None)) } else { Ok(()) }
}

/// Where lines come from.
pub(super) type Lines = BufReader<Box<dyn Read>>;

pub(super) fn lines_of(input: impl Read + 'static) -> Lines {
    BufReader::with_capacity(1 << 18, Box::new(input))
}

/// The array that the input is, if it is one. Otherwise nothing of it is taken away.
fn array_in(input: &mut Lines) -> Outcome<Option<Vec<u8>>> {
    if array::begins_in(beginning(input)?) { array::read_rest(Vec::new(), input).map(Some) } else { Ok(None) }
}

/// What has come of the input, of which nothing is taken away.
fn beginning(input: &mut Lines) -> Outcome<&[u8]> {
    loop {
        match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => break other.map(drop).map_err(could_not_continue)?,
        }
    }
    Ok(input.buffer())
}

/// Refuses what is packed, or no UTF-8 from its first byte on: no line of it is an event.
pub(super) fn refuse_other_coding(input: &mut Lines) -> Outcome {
    const CODINGS: [(&[u8], &str); 5] = [
        (b"\x1f\x8b", "packed by gzip: use `gzip -dc FILE | trailseal record`, or `trailseal import`"),
        (b"\x28\xb5\x2f\xfd", "packed by zstd: use `zstd -dc FILE | trailseal record`"),
        (b"PK\x03\x04", "a zip: use `unzip -p FILE | trailseal record`"),
        (b"\xff\xfe", "UTF-16: use `iconv -f UTF-16 -t UTF-8 FILE | trailseal record`"),
        (b"\xfe\xff", "UTF-16: use `iconv -f UTF-16 -t UTF-8 FILE | trailseal record`"),
    ];
    let begun = beginning(input)?;
    match CODINGS.iter().find(|(mark, _)| begun.starts_with(mark)) {
        Some((_, what)) => Err(Failure::could_not(format!("nothing was recorded: the input is {what}"))),
        None => Ok(()),
    }
}

fn could_not_continue(error: std::io::Error) -> Failure {
    Failure::could_not(format!("could not continue reading: {error}"))
}

/// An array goes in whole, so its lines must fit into the handoff together. What the settings say stays.
fn make_room(settings: &Settings, options: &mut Options, texts: &[&[u8]]) {
    if !settings.sets_handoff_size() {
        options.handoff.size_bytes = options.handoff.size_bytes.max(array::handoff_bytes(texts));
    }
}

#[derive(Default)]
struct Counts {
    recorded: u64,
    repeated: u64,
    left_out: u64,
    unconfirmed: u64,
    refused: u64,
    bad: u64,
    /// How many of the bad ones are no JSON.
    not_json: u64,
}

/// What is told if all of an input is no JSON.
pub(super) const OTHER_FORMS: &str = "record takes one JSON object per line, or one array: `jq -c .` makes lines of indented JSON, and \
     `trailseal import` takes CSV, logs and other forms";

impl Counts {
    fn summary(&self, what: &str) -> String {
        let mut text = format!("{} {what}", thousands(self.recorded));
        for (count, what) in [
            (self.repeated, "already there"),
            (self.left_out, "left out by the policy"),
            (self.refused, "refused"),
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

/// Prints the first warnings, and at the end how many more there are.
#[derive(Default)]
pub(super) struct Told {
    shown: usize,
    more: u64,
}

/// How many warnings are printed.
const WARNINGS_SHOWN: usize = 3;

impl Told {
    /// Reports warnings about a place in the input.
    pub(super) fn add(&mut self, place: &str, warnings: &Warnings) {
        let shown = warnings.told.iter().take(WARNINGS_SHOWN - self.shown);
        let before = self.shown;
        for warning in shown {
            tell(&format!("warning: {place}: {warning}"));
            self.shown += 1;
        }
        self.more += warnings.count() - (self.shown - before) as u64;
    }

    pub(super) fn finish(&self) {
        match self.more {
            0 => {}
            1 => tell("warning: there is one more; --json lists up to three an event"),
            more => tell(&format!(
                "warning: there are {} more; --json lists up to three an event",
                thousands(more)
            )),
        }
    }
}

/// An accepted event, and what it still waits for.
struct Waiting {
    index: Option<Index>,
    id: String,
    status: Status,
    /// Whether what it repeats is gone; `None` if it is new.
    repeats_retired: Option<bool>,
    level: Level,
    timeout: Duration,
    on_failure: OnFailure,
    warnings: Option<Warnings>,
}

impl Waiting {
    fn new(pending: &PendingReceipt, level: Level) -> Waiting {
        Waiting::of(pending.receipt(), Some(pending), level)
    }

    /// For one of several events; `newest` is what all of them wait for, if they do.
    fn of(receipt: &Receipt, newest: Option<&PendingReceipt>, level: Level) -> Waiting {
        let repeats_retired = match receipt.status {
            Status::Repeated { retired } => Some(retired),
            _ => None,
        };
        let is_repeat = repeats_retired.is_some();
        let own = newest.map_or(Level::Accepted, PendingReceipt::level);
        Waiting {
            index: receipt.index,
            id: receipt.id.as_str().to_owned(),
            status: receipt.status,
            repeats_retired,
            level: if is_repeat { level.max(own) } else { own },
            timeout: newest.map_or(Duration::ZERO, PendingReceipt::timeout),
            on_failure: newest.filter(|_| !is_repeat).map_or(OnFailure::Deny, PendingReceipt::on_failure),
            warnings: receipt.warnings().cloned(),
        }
    }

    fn answer(&self, origin: &str) -> serde_json::Value {
        let index = self.index.map(Index::get);
        let mut answer = serde_json::json!({"origin": origin, "index": index, "id": self.id});
        if let Some(warnings) = &self.warnings {
            if !warnings.told.is_empty() {
                answer["warnings"] = serde_json::json!(warnings.told);
            }
            if warnings.more > 0 {
                answer["more_warnings"] = warnings.more.into();
            }
        }
        if self.repeats_retired == Some(true) {
            answer["retired"] = true.into();
        }
        let mark = match self.status {
            Status::Unconfirmed => "unconfirmed",
            Status::Refused => "refused",
            Status::SampledOut | Status::Off => "sampled_out",
            Status::Repeated { .. } => "repeated",
            Status::Accepted | Status::Durable | Status::Stored if self.repeats_retired.is_some() => {
                "repeated"
            }
            Status::Accepted | Status::Durable | Status::Stored => return answer,
        };
        answer[mark] = true.into();
        answer
    }
}

struct Session<'a> {
    trail: Trail,
    /// How it was opened.
    opening: Options,
    /// The shared store that it delivers to.
    store: Option<&'a Store>,
    level: Level,
    options: RecordOptions,
    settings: &'a Settings,
    /// Set by SIGHUP: reload the settings.
    is_hung_up: Arc<AtomicBool>,
    out: Option<BufWriter<std::io::Stdout>>,
    pending: Vec<Waiting>,
    counts: Counts,
    told: Told,
    refused: Refused,
}

impl Session<'_> {
    fn read_all(&mut self, input: &mut Lines) -> Outcome {
        let (mut line, mut is_begun) = (Vec::new(), false);
        for number in 1u64.. {
            line.clear();
            if !read_line(input, &mut line).map_err(could_not_continue)? {
                break;
            }
            if !is_begun && array::begins_in(&line) {
                line.push(b'\n');
                let array = array::read_rest(line, input)?;
                return self.take_array(&array);
            }
            is_begun |= !array::is_blank(&line);
            if self.is_hung_up.swap(false, Ordering::Relaxed) {
                self.return_to_settings()?;
            }
            self.take(number, &line)?;
            // Reported as soon as the level is reached, before waiting for more input.
            let must_wait = memchr::memchr(b'\n', input.buffer()).is_none();
            if must_wait || self.pending.len() >= PENDING_MAX {
                self.flush()?;
            }
        }
        // SIGHUP may have come while waiting for the last line.
        if self.is_hung_up.swap(false, Ordering::Relaxed) {
            self.return_to_settings()?;
        }
        self.flush()
    }

    /// Applies the policy of the current settings. Invalid settings change nothing.
    fn return_to_settings(&mut self) -> Outcome {
        let policy = self.settings.reload().and_then(|settings| settings.policy()).and_then(|policy| {
            super::policy::may_replace(self.settings, &self.trail.policy(), &policy)?;
            Ok(policy)
        });
        match policy {
            Ok(policy) => Ok(self.trail.reset_policy(policy)?),
            Err(failure) => {
                tell(&format!("notice: the policy is unchanged: {}", failure.text()));
                Ok(())
            }
        }
    }

    fn take(&mut self, number: u64, line: &[u8]) -> Outcome {
        let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let text = line.trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        if text.len() > LINE_BYTES_MAX {
            return self.refuse(number, &format!("the line is longer than {} MiB", LINE_BYTES_MAX >> 20));
        }
        let pending = match self.trail.with(self.options).record_async(AnyEvent::Json(text)) {
            Ok(pending) => pending,
            // Reported at the end.
            Err(error @ (RecordError::FolderMoved | RecordError::Read(_))) => return Err(error.into()),
            Err(error) if is_by_trail(&error) => {
                self.counts.bad += 1;
                self.flush()?;
                self.refused.add(&format!("line {number}"), &error.to_string());
                return Ok(());
            }
            Err(error) => {
                let is_not_json = matches!(error, RecordError::Invalid(BadLine::NotJson { .. }));
                self.counts.not_json += u64::from(is_not_json);
                return self.refuse(number, &error.to_string());
            }
        };
        self.add(Waiting::new(&pending, self.level), || format!("line {number}"));
        Ok(())
    }

    /// Records the events of an array, all or none.
    fn take_array(&mut self, array: &[u8]) -> Outcome {
        let texts = array::texts_of(array)?;
        self.make_room(&texts)?;
        let (events, by) = (array::submitted(&texts), Submitter::default());
        let pending =
            match self.trail.with(self.options).record_all_async(Submission { events: &events, by: &by }) {
                Ok(pending) => pending,
                Err(error @ (RecordError::FolderMoved | RecordError::Read(_))) => return Err(error.into()),
                Err(error) => {
                    self.counts.bad += texts.len() as u64;
                    tell(&format!("nothing was recorded: {}", with_causes(&error)));
                    return Ok(());
                }
            };
        let (receipts, newest) = pending.into_parts();
        for (place, receipt) in receipts.iter().enumerate() {
            self.add(Waiting::of(receipt, newest.as_ref(), self.level), || format!("event {place}"));
        }
        self.flush()
    }

    /// Opens the trail again if its handoff is too small for these events.
    fn make_room(&mut self, texts: &[&[u8]]) -> Outcome {
        let mut options = self.opening.clone();
        make_room(self.settings, &mut options, texts);
        if options.handoff.size_bytes > self.opening.handoff.size_bytes {
            close_trail(&self.trail)?;
            self.trail = open_trail_with(self.settings, options.clone(), self.store)?;
            self.opening = options;
        }
        Ok(())
    }

    /// Counts an accepted event, and tells its warnings.
    fn add(&mut self, waiting: Waiting, place: impl Fn() -> String) {
        match waiting.status {
            Status::SampledOut | Status::Off => self.counts.left_out += 1,
            Status::Refused => self.counts.refused += 1,
            Status::Repeated { .. } => self.counts.repeated += 1,
            _ => self.counts.recorded += 1,
        }
        if let (None, Some(warnings)) = (&self.out, &waiting.warnings) {
            self.told.add(&place(), warnings);
        }
        self.pending.push(waiting);
    }

    fn refuse(&mut self, number: u64, reason: &str) -> Outcome {
        self.counts.bad += 1;
        self.flush()?;
        tell(&format!("line {number}: not recorded: {reason}"));
        Ok(())
    }

    /// Waits until the pending events have reached their level, and reports it.
    fn flush(&mut self) -> Outcome {
        let mut pending = std::mem::take(&mut self.pending);
        for level in [Level::Durable, Level::Store] {
            self.wait(&mut pending, level);
        }
        if self.answer(&pending).is_err_and(|error| error.kind() != ErrorKind::BrokenPipe) {
            return Err(Failure::could_not(
                "could not write the receipts; what was accepted so far is recorded",
            ));
        }
        // Makes room for the next ones.
        pending.clear();
        self.pending = pending;
        Ok(())
    }

    /// Waits once for all that need `level`: what holds for the newest holds for all.
    fn wait(&mut self, pending: &mut [Waiting], level: Level) {
        let mut waiting: Vec<&mut Waiting> = pending.iter_mut().filter(|one| one.level == level).collect();
        let Some(newest) = waiting.iter().filter_map(|one| one.index).max() else { return };
        // No request waits for a command, so it may wait longer than the policy allows for a request.
        let timeout = waiting.iter().map(|one| one.timeout).fold(WAIT_MIN, Duration::max);
        let status = self.trail.wait_for(level, newest, timeout);
        for one in waiting.iter_mut().filter(|one| one.index.is_some()) {
            one.status = status;
            // If the policy allows it, this is a success, marked as unconfirmed.
            if status == Status::Unconfirmed && one.on_failure == OnFailure::Deny {
                self.counts.unconfirmed += 1;
            }
        }
    }

    /// Writes receipts, if wanted. Recording continues even if nobody reads them any more.
    fn answer(&mut self, pending: &[Waiting]) -> std::io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let origin = self.trail.origin();
        let written = pending
            .iter()
            .try_for_each(|one| writeln!(out, "{}", one.answer(origin)))
            .and_then(|()| out.flush());
        if written.is_err() {
            self.out = None;
        }
        written
    }
}

/// A flag that SIGHUP sets.
fn hang_ups() -> Outcome<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, flag.clone())
        .map_err(|error| Failure::could_not(format!("could not listen for SIGHUP: {error}")))?;
    Ok(flag)
}

/// The requested level; the policy can only raise it.
fn level(ack: Option<Ack>) -> Level {
    match ack {
        None | Some(Ack::Accepted) => Level::Accepted,
        Some(Ack::Durable) => Level::Durable,
        Some(Ack::Store) => Level::Store,
    }
}

/// Reads one line without its end; `false` at the end of the input. Keeps little more than the limit of a line that
/// exceeds it.
pub(super) fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
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
        let end = memchr::memchr(b'\n', bytes);
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
