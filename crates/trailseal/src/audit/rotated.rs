//! Rotated copies that are too old: they go as a whole, or stay.
//!
//! What must hold: no line goes that is younger than asked for, or that a legal hold holds; no file goes that has not the
//! name of a rotated copy.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use trailseal_core::load_mask_key;
use trailseal_event::line::parse_front;

use super::storage::StorageError;
use crate::{Filter, Hold, HoldError, Timestamp, Trail};

/// No line is longer.
const LINE_BYTES_MAX: u64 = 1 << 16;
const SECOND_MICROS: i64 = 1_000_000;

/// Removes the rotated copies of `path` of which every line was recorded before `before`, unless one is held.
pub(super) fn remove(path: &Path, before: Timestamp, trail: &Trail) -> Result<(), StorageError> {
    let unread = |error| StorageError::Other(Box::new(error));
    let key = load_mask_key(trail.core().folder()).map_err(unread)?;
    let as_stored = |filter: Filter| filter.as_stored(key.as_ref());
    let held =
        trail.holds()?.iter().map(|hold| filter_of(hold).map(as_stored)).collect::<Result<Vec<_>, _>>()?;
    for copy in rotated(path)? {
        if is_older(&copy, before)? && !is_held(&copy.path, &held)? {
            fs::remove_file(&copy.path)?;
        }
    }
    Ok(())
}

struct Rotated {
    path: PathBuf,
    /// When it was rotated, to the second: with the first event that came after it.
    at: Timestamp,
}

/// The rotated copies beside `path`.
fn rotated(path: &Path) -> io::Result<Vec<Rotated>> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    let mut found = Vec::new();
    for entry in fs::read_dir(path.parent().unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let entry_name = entry.file_name();
        let rest = entry_name.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let at = rest.and_then(|rest| std::str::from_utf8(rest).ok()).and_then(time_of);
        if let Some(at) = at
            && entry.file_type()?.is_file()
        {
            found.push(Rotated { path: entry.path(), at });
        }
    }
    Ok(found)
}

/// The time in `20261129-040000` or `20261129-040000.1`; `None` for what is no such name.
fn time_of(rest: &str) -> Option<Timestamp> {
    let (time, number) = rest.split_once('.').unwrap_or((rest, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (day, clock) = time.split_once('-')?;
    if !(is_digits(number) && is_digits(day) && is_digits(clock) && day.len() == 8 && clock.len() == 6) {
        return None;
    }
    let [year, month, day] = [&day[..4], &day[4..6], &day[6..]];
    let [hour, minute, second] = [&clock[..2], &clock[2..4], &clock[4..]];
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// By its last line, which is the newest. Where that is none of a trail's, by its name: what is in it came before.
fn is_older(copy: &Rotated, before: Timestamp) -> io::Result<bool> {
    let mut file = File::open(&copy.path)?;
    let len = file.metadata()?.len();
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(len.saturating_sub(LINE_BYTES_MAX)))?;
    file.take(LINE_BYTES_MAX).read_to_end(&mut end)?;
    let last = end.strip_suffix(b"\n").unwrap_or(&end).rsplit(|byte| *byte == b'\n').next();
    let newest = last.and_then(parse_front).map_or_else(
        // The name has whole seconds.
        || Timestamp::from_micros(copy.at.as_micros().saturating_add(SECOND_MICROS)),
        |front| front.recorded,
    );
    Ok(newest < before)
}

fn is_held(path: &Path, held: &[Filter]) -> io::Result<bool> {
    if held.is_empty() || cfg!(trailseal_fault = "held_copy_removed") {
        return Ok(false);
    }
    let (mut reader, mut line) = (BufReader::new(File::open(path)?), Vec::new());
    loop {
        line.clear();
        if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        if parse_front(line).is_some() && held.iter().any(|filter| filter.accepts(line)) {
            return Ok(true);
        }
    }
}

fn filter_of(hold: &Hold) -> Result<Filter, HoldError> {
    let mut filter = Filter { system: true, ..Filter::default() };
    for (name, value) in &hold.filters {
        filter.set(name, value, Timestamp::default())?;
    }
    filter.system = true;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_names_of_rotated_copies_are_such() {
        let at = Timestamp::parse("2026-11-29T04:00:01Z");
        assert!(at.is_some());
        assert_eq!(time_of("20261129-040001"), at);
        assert_eq!(time_of("20261129-040001.2"), at);
        for other in
            ["trail", "20261129", "20261129-0400", "20261129-040001.gz", "20261129-040001.1.gz", "1", ""]
        {
            assert_eq!(time_of(other), None, "{other}");
        }
        assert_eq!(time_of("20261329-040001"), None, "no such month");
    }
}
