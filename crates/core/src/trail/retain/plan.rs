//! How much goes, and whether the clock can be believed.
//!
//! Sums are kept, by segment, and a bit for each line while there is room for them: beyond that it is decided again which
//! lines go.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;

use trailseal_event::filter::Filter;
use trailseal_event::line::parse_front;
use trailseal_event::mask::MaskKey;
use trailseal_event::{Index, Timestamp};

use super::choice::{Choice, Fate};
use super::error::RetainError;
use super::hold::{Hold, lasting_filters};
use super::rule::{Kept, KnownSink, RETAIN_DAYS_MAX, RetentionRule, SinkBehind};
use crate::folder::Folder;
use crate::segment::{NumberedLines, SegmentFile};

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// Nothing was recorded for so long: more likely the clock was set wrong.
const SILENCE_MAX_MICROS: i64 = 3 * 366 * DAY_MICROS;

/// For 128 million lines.
const BITS_BYTES_MAX: usize = 16 << 20;

/// What goes, and what stays although it is old enough.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) choice: Choice,
    /// Segments of which lines go.
    pub(super) segments: Vec<PlannedSegment>,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) kept: Kept,
    /// The index after the last line that goes.
    pub(super) end: u64,
}

#[derive(Debug)]
pub(super) struct PlannedSegment {
    pub(super) segment: SegmentFile,
    /// How many lines of it go.
    pub(super) events: u64,
    /// Which; `None` if there was no room.
    goes: Option<Bits>,
    /// Whether all that was left of it goes.
    pub(super) is_whole: bool,
}

/// Called with the index of a line, the line, and whether it goes; breaks to stop.
type EachPlanned<'a> = dyn FnMut(u64, &[u8], bool) -> io::Result<ControlFlow<()>> + 'a;

/// A bit for each line of a segment, by its index less that of the first.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, place: u64) {
        let at = (place / 64) as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(at) {
            *bits |= 1 << (place % 64);
        }
    }

    fn has(&self, place: u64) -> bool {
        self.0.get((place / 64) as usize).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }

    fn bytes(&self) -> usize {
        self.0.len() * size_of::<u64>()
    }
}

/// Reads the lines and adds up.
struct Planning<'a> {
    folder: &'a Folder,
    now: i64,
    /// How much room there is for bits.
    bits_bytes_left: usize,
    /// `recorded` of the last line that was read, and its index.
    last: Option<(i64, u64)>,
    plan: Plan,
}

/// What a plan is made from: an open trail, or what whoever only reads a folder finds in it.
pub(super) struct Basis<'a> {
    pub(super) folder: &'a Folder,
    pub(super) now: Timestamp,
    /// The keys by which a hold may keep a value as its hash, the trail's own last.
    pub(super) keys: Vec<MaskKey>,
    /// Lines that the next opening needs.
    pub(super) pointed_at: BTreeSet<u64>,
    /// The tree size that a signed checkpoint covers.
    pub(super) sealed: u64,
    /// The index after the last line on disk.
    pub(super) durable: u64,
}

/// Reads the trail and decides. Nothing is changed.
pub(super) fn plan(
    basis: &Basis<'_>,
    rule: &RetentionRule,
    holds: &[Hold],
    sinks: &[KnownSink],
) -> Result<Plan, RetainError> {
    if !(1..=RETAIN_DAYS_MAX).contains(&rule.older_than_days) {
        return Err(RetainError::Days { days: rule.older_than_days });
    }
    let Basis { folder, now, ref keys, ref pointed_at, sealed, durable } = *basis;
    let before = now.as_micros().saturating_sub(i64::from(rule.older_than_days) * DAY_MICROS);
    let choice = Choice {
        rule: rule.filter().map(|filter| filter.as_stored(keys.first())),
        before: Timestamp::from_micros(before),
        holds: lasting_filters(folder, holds, keys)?,
        sinks: sinks.to_vec(),
        pointed_at: pointed_at.clone(),
        sealed,
        durable,
    };
    let kept = Kept::default();
    let plan = Plan { choice, segments: Vec::new(), events: 0, bytes: 0, kept, end: 0 };
    let mut planning =
        Planning { folder, now: now.as_micros(), bits_bytes_left: BITS_BYTES_MAX, last: None, plan };
    let path = folder.segments_folder();
    let segments = folder.segments().map_err(|source| RetainError::Io { action: "list", path, source })?;
    planning.read_all(&segments, now)?;
    Ok(planning.plan)
}

impl Plan {
    /// Whether a sink has everything that goes.
    pub(super) fn is_received(&self, sink: &KnownSink) -> bool {
        sink.cursor.get() >= self.end || cfg!(trailseal_fault = "undelivered_retired")
    }

    /// Calls `each` with every line that is left of a segment, its index, and whether it goes.
    pub(super) fn for_each(
        &self,
        folder: &Folder,
        planned: &PlannedSegment,
        each: &mut EachPlanned<'_>,
    ) -> io::Result<()> {
        let segment = &planned.segment;
        let mut lines = NumberedLines::open(folder.files(), segment)?;
        let end = segment.end.map_or(self.choice.durable, Index::get);
        while let Some((index, line)) = lines.next()?.filter(|(index, _)| *index < end) {
            let goes = match &planned.goes {
                Some(goes) => goes.has(index.saturating_sub(segment.first.get())),
                None => parse_front(line)
                    .filter(|front| front.index == index)
                    .is_some_and(|front| self.choice.fate(segment, &front, line) == Fate::Goes),
            };
            if each(index, line, goes)?.is_break() {
                break;
            }
        }
        Ok(())
    }
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
            if recorded <= self.plan.choice.before.as_micros() {
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
        self.note_time(self.plan.choice.durable, now.as_micros())
    }

    /// Index and time of a segment's first line; `None` if there is none.
    fn first_of(&self, segment: &SegmentFile) -> Result<Option<(u64, i64)>, RetainError> {
        let failed = |source| RetainError::Io { action: "read", path: segment.path.clone(), source };
        let files = self.folder.files();
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
        let is_young = at > self.plan.choice.before.as_micros();
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
        let mut lines = match NumberedLines::open(self.folder.files(), segment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        let durable = self.plan.choice.durable;
        let end = segment.end.map_or(durable, |end| end.get().min(durable));
        let (mut events, mut is_whole, mut goes) = (0, true, Some(Bits::default()));
        while let Some((index, line)) = lines.next().map_err(failed)?.filter(|(index, _)| *index < end) {
            let front = parse_front(line).filter(|front| front.index == index);
            let front = front.ok_or_else(|| RetainError::NotSigned {
                index: Index::new(index),
                path: segment.path.clone(),
            })?;
            self.note_time(index, front.recorded.as_micros())?;
            let fate = self.plan.choice.fate(segment, &front, line);
            if fate == Fate::Goes {
                self.plan.bytes += line.len() as u64 + 1;
                self.plan.end = index + 1;
                events += 1;
                // A list that somebody has changed may claim that any number of lines went before this one.
                let place = index.saturating_sub(segment.first.get());
                goes = goes.filter(|_| place / 8 < self.bits_bytes_left as u64);
                goes.iter_mut().for_each(|goes| goes.set(place));
                continue;
            }
            self.plan.note_kept(fate, index, line);
            is_whole = false;
        }
        if events > 0 {
            self.plan.events += events;
            let bytes = goes.as_ref().map_or(0, Bits::bytes);
            self.bits_bytes_left = self.bits_bytes_left.saturating_sub(bytes);
            self.plan.segments.push(PlannedSegment { segment: segment.clone(), events, goes, is_whole });
        }
        Ok(())
    }
}

impl Plan {
    /// Counts a line that stays.
    fn note_kept(&mut self, fate: Fate, index: u64, line: &[u8]) {
        let Plan { kept, choice, .. } = self;
        match fate {
            Fate::Goes | Fate::NotMeant => {}
            Fate::Own => kept.own += 1,
            Fate::Unsealed => kept.unsealed += 1,
            Fate::InOpenSegment => kept.in_open_segment += 1,
            Fate::Held => {
                kept.held += 1;
                for name in choice.holding(line) {
                    match kept.held_by.iter_mut().find(|(other, _)| other == name) {
                        Some((_, count)) => *count += 1,
                        None => kept.held_by.push((name.to_owned(), 1)),
                    }
                }
            }
            Fate::Undelivered => {
                kept.undelivered += 1;
                for sink in choice.waiting(index) {
                    let KnownSink { name, cursor, is_attached } = sink.clone();
                    if kept.sinks.iter().all(|known| known.name != name) {
                        kept.sinks.push(SinkBehind { name, cursor, is_attached });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use trailseal_event::Event;

    use super::*;
    use crate::clock::Clock;
    use crate::segment::Roll;
    use crate::trail::{Options, Trail};

    #[derive(Clone, Default)]
    struct Set(Arc<AtomicI64>);

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
        }
    }

    #[test]
    fn without_room_for_bits_the_same_lines_go() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Set(Arc::new(DAY_MICROS.into())));
        let mut options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
        options.handoff.size_bytes = 1 << 20;
        options.segment.roll = Roll::Bytes(4_000);
        let trail = Trail::open(dir.path(), options).unwrap();
        for number in 0..100 {
            let event =
                Event::new("test.made").tenant(["a", "b", "c"][number % 3]).description("x".repeat(100));
            trail.with(crate::trail::Ack::Durable).record(&event).unwrap();
        }
        trail.seal(Duration::from_secs(20)).unwrap();
        clock.0.store(100 * DAY_MICROS, Ordering::SeqCst);
        let rule = RetentionRule { tenant: Some("b".into()), ..RetentionRule::older_than_days(90) };
        let mut plan = plan(&trail.basis().unwrap(), &rule, &[], &[]).unwrap();
        let found = |plan: &Plan| {
            let mut found = Vec::new();
            for planned in &plan.segments {
                let each = &mut |index, _: &[u8], goes| {
                    found.push((index, goes));
                    Ok(ControlFlow::Continue(()))
                };
                plan.for_each(trail.folder(), planned, each).unwrap();
            }
            found
        };
        let by_bits = found(&plan);
        assert!(plan.segments.iter().all(|planned| planned.goes.is_some()));
        assert_eq!(by_bits.iter().filter(|(_, goes)| *goes).count() as u64, plan.events);
        assert!(plan.events > 20 && by_bits.len() > 60);
        plan.segments.iter_mut().for_each(|planned| planned.goes = None);
        assert_eq!(found(&plan), by_bits);
        trail.close(Duration::from_secs(20)).unwrap();
    }
}
