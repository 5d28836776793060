//! What goes: which lines a rule selects, and what keeps each of the others.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;

use trailseal_event::filter::Filter;
use trailseal_event::line::parse_front;
use trailseal_event::{Index, Timestamp, Value};

use super::super::inner::Trail;
use super::super::secrets::load_mask_key;
use super::error::RetainError;
use super::hold::Hold;
use super::rule::{Kept, KnownSink, RETAIN_DAYS_MAX, RetentionRule, SinkBehind};
use crate::segment::{NumberedLines, SegmentFile};

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// Nothing was recorded for so long: more likely the clock was set wrong.
const SILENCE_MAX_MICROS: i64 = 3 * 366 * DAY_MICROS;
/// The trail's own events that are never retired: they vouch for what is missing, for keys and for what came before.
const NEVER_RETIRED: [&str; 4] = ["trail.retired", "trail.erased", "trail.key_rotated", "trail.succeeded"];

/// What goes, and what stays although it is old enough.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Segments of which lines go.
    pub(super) segments: Vec<PlannedSegment>,
    /// When the newest event that may go was recorded, at the latest.
    pub(super) before: Timestamp,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) kept: Kept,
    /// The tree size that covers all of it.
    pub(super) sealed: u64,
}

#[derive(Debug)]
pub(super) struct PlannedSegment {
    pub(super) segment: SegmentFile,
    /// Half-open, ascending, apart from each other.
    pub(super) ranges: Vec<Range<u64>>,
    /// Whether all that was left of it goes.
    pub(super) is_whole: bool,
}

impl PlannedSegment {
    pub(super) fn lines(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

/// What decides about each line.
struct Planning<'a> {
    trail: &'a Trail,
    /// Selects the rule's tenant and categories; `None` if it names none.
    rule: Option<Filter>,
    holds: Vec<(String, Filter)>,
    sinks: &'a [KnownSink],
    /// Everything below was received by all sinks.
    received: u64,
    /// Lines that the next opening needs.
    pointed_at: BTreeSet<u64>,
    durable: u64,
    now: i64,
    /// `recorded` of the last line that was read, and its index.
    last: Option<(i64, u64)>,
    plan: Plan,
}

/// Whether a line goes, or why not.
enum Fate {
    /// It is too young, or the rule does not select it.
    NotMeant,
    Own,
    Held,
    Undelivered,
    Unsealed,
    InOpenSegment,
    Goes,
}

/// Reads the trail and decides. Nothing is changed.
pub(super) fn plan(
    trail: &Trail,
    rule: &RetentionRule,
    holds: &[Hold],
    sinks: &[KnownSink],
) -> Result<Plan, RetainError> {
    if !(1..=RETAIN_DAYS_MAX).contains(&rule.older_than_days) {
        return Err(RetainError::Days { days: rule.older_than_days });
    }
    let log = &trail.inner.log;
    let now = log.clock.now();
    let before = now.as_micros().saturating_sub(i64::from(rule.older_than_days) * DAY_MICROS);
    let mut filters = Vec::new();
    let key = load_mask_key(trail.folder()).map_err(|error| RetainError::Damaged {
        path: trail.folder().root().to_owned(),
        what: format!("has no readable masking key, so nobody knows what is held: {error}"),
    })?;
    for hold in holds {
        filters.push((hold.name.clone(), hold.filter()?.as_stored(key.as_ref())));
    }
    let received = sinks.iter().map(|sink| sink.cursor.get()).min().unwrap_or(u64::MAX);
    let mut planning = Planning {
        trail,
        rule: rule.filter().map(|filter| filter.as_stored(key.as_ref())),
        holds: filters,
        sinks,
        received: if cfg!(trailseal_fault = "undelivered_retired") { u64::MAX } else { received },
        pointed_at: trail.folder().pointed_at(),
        durable: log.progress.durable(),
        now: now.as_micros(),
        last: None,
        plan: Plan {
            before: Timestamp::from_micros(before),
            sealed: log.progress.sealed(),
            ..Plan::default()
        },
    };
    let folder = log.folder.segments_folder();
    let segments =
        log.folder.segments().map_err(|source| RetainError::Io { action: "list", path: folder, source })?;
    planning.read_all(&segments, now)?;
    Ok(planning.plan)
}

impl RetentionRule {
    fn filter(&self) -> Option<Filter> {
        (self.tenant.is_some() || !self.category.is_empty()).then(|| Filter {
            tenant: self.tenant.iter().cloned().collect(),
            category: self.category.clone(),
            system: true,
            ..Filter::default()
        })
    }
}

impl Planning<'_> {
    fn read_all(&mut self, segments: &[SegmentFile], now: Timestamp) -> Result<(), RetainError> {
        let mut skipped: Option<&SegmentFile> = None;
        for segment in segments {
            let Some((first, recorded)) = self.first_of(segment)? else { continue };
            if let Some(skipped) = skipped.take().filter(|_| self.is_silence(recorded)) {
                self.read(skipped)?;
            }
            if recorded <= self.plan.before.as_micros() {
                self.read(segment)?;
            } else {
                // All of it is too young.
                self.note_time(first, recorded)?;
                skipped = Some(segment);
            }
        }
        if let Some(skipped) = skipped.filter(|_| self.is_silence(now.as_micros())) {
            self.read(skipped)?;
        }
        self.note_time(self.durable, now.as_micros())
    }

    /// Index and time of a segment's first line; `None` if there is none.
    fn first_of(&self, segment: &SegmentFile) -> Result<Option<(u64, i64)>, RetainError> {
        let failed = |source| RetainError::Io { action: "read", path: segment.path.clone(), source };
        let files = self.trail.folder().files();
        let mut lines = match NumberedLines::open_for_few(files, segment) {
            // Compressed and retired segments are gone, for a moment or for good.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let first = lines.next().map_err(failed)?;
        Ok(first.and_then(|(index, line)| Some((index, parse_front(line)?.recorded.as_micros()))))
    }

    fn is_silence(&self, recorded: i64) -> bool {
        self.last.is_some_and(|(last, _)| recorded.saturating_sub(last) > SILENCE_MAX_MICROS)
    }

    /// Refuses if nothing was recorded for years before this moment: then the clock was set ahead, or it was wrong
    /// before, and the age of the events before cannot be told. Unless this moment is old enough itself: they are older.
    /// A moment that is still to come counts as now, since the clock was set back after it.
    fn note_time(&mut self, index: u64, recorded: i64) -> Result<(), RetainError> {
        let at = recorded.min(self.now);
        let is_young = at > self.plan.before.as_micros();
        if is_young && self.is_silence(at) && !cfg!(trailseal_fault = "clock_ahead_trusted") {
            let before = self.last.map_or(0, |(last, _)| last);
            let (before, after) = (Timestamp::from_micros(before), Timestamp::from_micros(recorded));
            return Err(RetainError::Clock {
                what: format!(
                    "the clock is implausibly far ahead: event {index} would be of {after}, and the one before is of \
                     {before}"
                ),
            });
        }
        self.last = Some((recorded, index));
        Ok(())
    }

    fn read(&mut self, segment: &SegmentFile) -> Result<(), RetainError> {
        let failed = |source| RetainError::Io { action: "read", path: segment.path.clone(), source };
        let mut lines = match NumberedLines::open(self.trail.folder().files(), segment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        let end = segment.end.map_or(self.durable, |end| end.get().min(self.durable));
        let (mut ranges, mut is_whole): (Vec<Range<u64>>, bool) = (Vec::new(), true);
        while let Some((index, line)) = lines.next().map_err(failed)?.filter(|(index, _)| *index < end) {
            let front = parse_front(line).filter(|front| front.index == index);
            let front = front.ok_or_else(|| RetainError::NotSigned {
                index: Index::new(index),
                path: segment.path.clone(),
            })?;
            self.note_time(index, front.recorded.as_micros())?;
            let fate = self.fate(segment, index, front.recorded, front.system, line);
            let kept = &mut self.plan.kept;
            match fate {
                Fate::NotMeant => {}
                Fate::Own => kept.own += 1,
                Fate::Held => kept.held += 1,
                Fate::Undelivered => kept.undelivered += 1,
                Fate::Unsealed => kept.unsealed += 1,
                Fate::InOpenSegment => kept.in_open_segment += 1,
                Fate::Goes => {
                    self.plan.events += 1;
                    self.plan.bytes += line.len() as u64 + 1;
                    match ranges.last_mut().filter(|last| last.end == index) {
                        Some(last) => last.end = index + 1,
                        None => ranges.push(index..index + 1),
                    }
                    continue;
                }
            }
            is_whole = false;
        }
        if !ranges.is_empty() {
            self.plan.segments.push(PlannedSegment { segment: segment.clone(), ranges, is_whole });
        }
        Ok(())
    }

    fn fate(
        &mut self,
        segment: &SegmentFile,
        index: u64,
        recorded: Timestamp,
        is_own: bool,
        line: &[u8],
    ) -> Fate {
        let is_meant = self.rule.as_ref().is_none_or(|rule| rule.accepts(line));
        if recorded > self.plan.before || !is_meant {
            return Fate::NotMeant;
        }
        if self.pointed_at.contains(&index) || is_own && is_never_retired(line) {
            return Fate::Own;
        }
        if self.is_held(line) {
            return Fate::Held;
        }
        if index >= self.received {
            self.note_sinks(index);
            return Fate::Undelivered;
        }
        match segment.end {
            None => Fate::InOpenSegment,
            Some(end) if end.get() > self.plan.sealed => Fate::Unsealed,
            Some(_) => Fate::Goes,
        }
    }

    fn is_held(&mut self, line: &[u8]) -> bool {
        if cfg!(trailseal_fault = "held_retired") {
            return false;
        }
        let mut is_held = false;
        for (name, filter) in &self.holds {
            if filter.accepts(line) {
                is_held = true;
                let by = &mut self.plan.kept.held_by;
                match by.iter_mut().find(|(other, _)| other == name) {
                    Some((_, count)) => *count += 1,
                    None => by.push((name.clone(), 1)),
                }
            }
        }
        is_held
    }

    /// Names the sinks that still have to receive this event.
    fn note_sinks(&mut self, index: u64) {
        for sink in self.sinks.iter().filter(|sink| sink.cursor.get() <= index) {
            let KnownSink { name, cursor, is_attached } = sink.clone();
            if self.plan.kept.sinks.iter().all(|known| known.name != name) {
                self.plan.kept.sinks.push(SinkBehind { name, cursor, is_attached });
            }
        }
    }
}

/// Whether one of the trail's own lines stays for ever. One that cannot be read stays, too.
fn is_never_retired(line: &[u8]) -> bool {
    let Ok(line) = Value::parse(line) else { return true };
    line.get("action").and_then(Value::as_str).is_none_or(|action| NEVER_RETIRED.contains(&action))
}
