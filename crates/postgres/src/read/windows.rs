//! A search in steps: parts of the order, each with the partitions that can have its events.
//!
//! Partitions hold what was recorded in some span, and a statement over many of them takes long to plan. An event's time
//! is never later than its recording. So from the newest on by time, whatever is at or after some time was also recorded
//! then or later, and a few partitions have all of it; of those newer still, only the ones with late events have any. From
//! the oldest on there is no such bound, since a late event may be in any later partition: but each partition's earliest
//! time is known ([`Partition::earliest`]).
//!
//! What must hold: the windows follow each other in the order, leave nothing out, and each has all events of its part.

use trailseal_event::{By, First, Order, Timestamp};

use super::walk_position::Place;

/// Each window has at most this many times as many partitions as the one before.
const GROWTH: usize = 4;

/// If a page needs more partitions than this, so many are asked at once. Fewer in debug builds, so that small tests go both ways.
const NEAR_MAX: usize = if cfg!(debug_assertions) { 2 } else { 6 };

/// How many partitions the next window should have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Those of the last one, or of the first.
    count: usize,
    /// Those of all windows before the next one.
    passed: usize,
    /// In how many more the page is expected to be full.
    expected: usize,
}

impl Pace {
    /// One partition at first: mostly it has all that is wanted.
    pub(super) const BEGIN: Pace = Pace { count: 1, passed: 0, expected: 1 };

    /// After a window, with what was found in all and how much more is wanted.
    pub(super) fn after(self, found: usize, more: usize) -> Pace {
        let passed = self.passed + self.count;
        // If the rest lies a little more densely: few found in few partitions say little, and what is asked for too many
        // partitions costs more than what has to be asked again.
        let expected = more.saturating_mul(2 * passed) / (2 * found).saturating_add(3);
        // And a few partitions more than that.
        let expected = (expected / 4 + 1).saturating_add(expected);
        Pace { count: expected.clamp(1, self.count * GROWTH), passed, expected }
    }

    /// The pace if the page seems to need many of these partitions: as many as it needs, or all of them.
    pub(super) fn far(self, partitions: &[Partition]) -> Option<Pace> {
        let count = self.expected.min(partitions.len());
        (count > NEAR_MAX).then_some(Pace { count, ..self })
    }
}

/// A partition of the events.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Partition {
    /// Its events were recorded at or after this,
    pub(super) from: Timestamp,
    /// and before this.
    pub(super) to: Timestamp,
    /// No event in it has an earlier time; `None` if it has no events.
    pub(super) earliest: Option<Timestamp>,
}

/// From here on, and before that.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// A part of the order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Window {
    pub(super) recorded: Bounds,
    pub(super) time: Bounds,
}

/// What is asked for and how.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) order: Order,
    /// Where it begins, unless at the end of the order.
    pub(super) place: Option<&'a Place>,
    /// The bounds of the filter.
    pub(super) bounds: Window,
}

impl Window {
    /// Where a walk that has passed through this window continues.
    pub(super) fn end(&self, order: Order) -> Option<Place> {
        let edge = |bounds: Bounds| if order.first == First::Newest { bounds.from } else { bounds.to };
        match order.by {
            By::Time => edge(self.time).map(Place::at_time),
            By::Recorded => edge(self.recorded).map(Place::at),
        }
    }
}

impl Asked<'_> {
    /// The next window, for partitions in the order of their times, and whether it is the last one. `beyond` is the
    /// earliest time of events that are in none of them.
    pub(super) fn window(
        &self,
        partitions: &[Partition],
        beyond: Option<Timestamp>,
        pace: Pace,
    ) -> (Window, bool) {
        let whole = self.whole(partitions, beyond);
        match (self.order.by, self.order.first) {
            (_, First::Newest) => self.newest_first(whole, partitions, pace.count),
            (By::Recorded, First::Oldest) => self.oldest_first(whole, partitions, pace.count, &|_| None),
            (By::Time, First::Oldest) => {
                let earliest = |after: usize| {
                    let rest = partitions.get(after..).unwrap_or_default();
                    rest.iter().filter_map(|partition| partition.earliest).chain(beyond).min()
                };
                self.oldest_first(whole, partitions, pace.count, &earliest)
            }
        }
    }

    /// All that is left.
    fn whole(&self, partitions: &[Partition], beyond: Option<Timestamp>) -> Window {
        let mut whole = self.bounds;
        // Nothing was recorded before its time.
        whole.recorded.from = latest(whole.recorded.from, whole.time.from);
        whole.recorded.to = earliest_of(whole.recorded.to, self.last_of(partitions, beyond));
        if self.order.by == By::Recorded {
            whole.recorded = self.behind_place(whole.recorded);
        }
        if self.order == Order::OLDEST {
            whole.recorded.from = latest(whole.recorded.from, self.place.map(|place| place.time.time()));
        }
        whole
    }

    /// Where the last partition ends that can have an event of the walk, if its time must not be too late: late ones may
    /// be in any, but each partition has its earliest time.
    fn last_of(&self, partitions: &[Partition], beyond: Option<Timestamp>) -> Option<Timestamp> {
        let place = self.place.filter(|_| self.order == Order::NEWEST).map(|place| place.time.time());
        let top = earliest_of(place, self.bounds.time.to)?;
        if beyond.is_some_and(|beyond| beyond <= top) {
            return None;
        }
        let has_some = |partition: &&Partition| partition.earliest.is_some_and(|earliest| earliest <= top);
        partitions.iter().rfind(has_some).map(|partition| partition.to)
    }

    fn newest_first(&self, whole: Window, partitions: &[Partition], count: usize) -> (Window, bool) {
        let is_by_time = self.order.by == By::Time;
        let place = self.place.map(|place| if is_by_time { place.time } else { place.recorded }.time());
        let top = [place, whole.time.to.filter(|_| is_by_time), whole.recorded.to];
        let top = top.into_iter().flatten().min();
        // Those made ahead have nothing yet.
        let used = partitions.iter().rposition(|partition| partition.earliest.is_some());
        let mut rest = partitions.get(..used.map_or(0, |last| last + 1)).unwrap_or_default();
        if let Some(top) = top {
            rest = &rest[..rest.partition_point(|partition| partition.from < top)];
        }
        let below = rest.len().checked_sub(count).and_then(|left| rest.get(..left)).and_then(<[_]>::last);
        let Some(from) = below.map(|partition| partition.to) else { return (whole, true) };
        if whole.recorded.from.is_some_and(|least| from <= least) {
            return (whole, true);
        }
        let mut window = whole;
        window.recorded.from = latest(whole.recorded.from, Some(from));
        if is_by_time {
            window.time.from = latest(whole.time.from, Some(from));
        }
        (window, false)
    }

    /// By recording, nothing behind the place was recorded later or earlier than it.
    fn behind_place(&self, bounds: Bounds) -> Bounds {
        let Some(place) = self.place else { return bounds };
        let at = place.recorded.time();
        match self.order.first {
            First::Oldest => Bounds { from: latest(bounds.from, Some(at)), ..bounds },
            First::Newest => {
                // At the same moment there may be more, unless it is the edge of a window.
                let to = if place.is_edge() {
                    at
                } else {
                    Timestamp::from_micros(at.as_micros().saturating_add(1))
                };
                Bounds { to: earliest_of(bounds.to, Some(to)), ..bounds }
            }
        }
    }

    /// `earliest` says the earliest time in all partitions from a number on, and is asked only by time.
    fn oldest_first(
        &self,
        whole: Window,
        partitions: &[Partition],
        count: usize,
        earliest: &dyn Fn(usize) -> Option<Timestamp>,
    ) -> (Window, bool) {
        let is_by_time = self.order.by == By::Time;
        let place = self.place.map(|place| if is_by_time { place.time } else { place.recorded }.time());
        let bottom = latest(whole.recorded.from, place);
        let begun = latest(whole.time.from, place);
        let mut after =
            bottom.map_or(0, |bottom| partitions.partition_point(|partition| partition.to <= bottom));
        loop {
            after += count;
            let end = partitions.get(after.wrapping_sub(1)).map(|partition| partition.to);
            let Some(end) = end.filter(|_| after < partitions.len()) else { return (whole, true) };
            if whole.recorded.to.is_some_and(|most| most <= end) {
                return (whole, true);
            }
            let mut window = whole;
            window.recorded.to = Some(end);
            if !is_by_time {
                return (window, false);
            }
            // What is left has no earlier time than this; up to there, everything is here.
            let Some(complete) = earliest(after) else { return (whole, true) };
            let complete = if cfg!(trailseal_fault = "store_late_events_ignored") { end } else { complete };
            if begun.is_some_and(|begun| complete <= begun) {
                continue;
            }
            window.time.to = earliest_of(whole.time.to, Some(complete));
            return (window, whole.time.to.is_some_and(|most| most <= complete));
        }
    }
}

fn latest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).max()
}

fn earliest_of(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const ORDERS: [Order; 4] = [Order::NEWEST, Order::OLDEST, Order::NEWEST_RECORDED, Order::OLDEST_RECORDED];

    fn at(time: i64) -> Timestamp {
        Timestamp::from_micros(time)
    }

    /// Time and recording of an event.
    type Event = (i64, i64);

    fn is_in(bounds: Bounds, time: i64) -> bool {
        bounds.from.is_none_or(|from| from <= at(time)) && bounds.to.is_none_or(|to| at(time) < to)
    }

    fn key(order: Order, (time, recorded): Event) -> (i64, i64) {
        if order.by == By::Time { (time, recorded) } else { (recorded, 0) }
    }

    /// As a walk does: each window's events in order, after the place reached.
    fn walked(
        asked: &Asked<'_>,
        events: &[Event],
        mut window_at: impl FnMut(&Asked<'_>, usize) -> (Window, bool),
    ) -> Vec<Event> {
        let place = |place: &Place| (place.time.time().as_micros(), place.recorded.time().as_micros());
        let (mut found, mut reached) = (Vec::new(), asked.place.map(|it| key(asked.order, place(it))));
        let mut at = asked.place.cloned();
        loop {
            let (window, is_last) = window_at(&Asked { place: at.as_ref(), ..*asked }, found.len());
            let is_after = |one: (i64, i64)| {
                reached.is_none_or(|it| if asked.order.first == First::Newest { one < it } else { one > it })
            };
            let mut some: Vec<Event> = events
                .iter()
                .copied()
                .filter(|event| is_after(key(asked.order, *event)))
                .filter(|(time, recorded)| is_in(window.time, *time) && is_in(window.recorded, *recorded))
                .collect();
            some.sort_by_key(|event| key(asked.order, *event));
            if asked.order.first == First::Newest {
                some.reverse();
            }
            found.extend(some);
            if is_last {
                return found;
            }
            let before = at.replace(window.end(asked.order).unwrap());
            assert_ne!(at, before, "it gets on");
            let (time, recorded) = place(at.as_ref().unwrap());
            reached = Some(if asked.order.by == By::Time { (time, recorded) } else { (recorded, -1) });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Late events, months without a partition, partitions ahead, and one that is not known.
        #[test]
        fn windows_have_every_event_once_and_in_order(
            events in prop::collection::vec((0..400_i64, prop_oneof![3 => 0..4_i64, 1 => 0..300_i64]), 0..40),
            missing in prop::collection::vec(0..45_i64, 0..4),
            unlisted in prop::option::of(0..45_i64),
            order in prop::sample::select(&ORDERS[..]),
            place in prop::option::of((0..400_i64, 0..400_i64)),
            far_after in prop::option::of(0..4_usize),
            is_known in any::<bool>(),
            edges in prop::array::uniform4(prop::option::weighted(0.2, 0..400_i64)),
        ) {
            let span = 10;
            let number = |event: &Event| event.1 / span;
            let mut events: Vec<Event> =
                events.iter().map(|(recorded, late)| ((recorded - late).max(0), *recorded)).collect();
            events.retain(|event| !missing.contains(&number(event)));
            // As keys are unique in the store.
            events.sort_unstable_by_key(|event| key(order, *event));
            events.dedup_by_key(|event| key(order, *event));
            let earliest = |of: i64| events.iter().filter(|it| number(it) == of).map(|it| at(it.0)).min();
            let partitions: Vec<Partition> = (0..45)
                .filter(|it| !missing.contains(it) && unlisted != Some(*it))
                .map(|it| Partition { from: at(it * span), to: at((it + 1) * span), earliest: earliest(it) })
                .collect();
            let beyond = unlisted.and_then(earliest);
            let [since, until, recorded_since, recorded_until] = edges.map(|edge| edge.map(at));
            let bounds = Window {
                time: Bounds { from: since, to: until },
                recorded: Bounds { from: recorded_since, to: recorded_until },
            };
            let place = place.map(|(one, other)| Place {
                time: crate::binary_time::Moment::of(at(one.min(other))),
                ..Place::at(at(other))
            });
            let asked = Asked { order, place: place.as_ref(), bounds };
            let (mut pace, mut windows) = (Pace::BEGIN, Vec::new());
            let found = walked(&asked, &events, |asked, found| {
                if !windows.is_empty() {
                    pace = pace.after(found, 10);
                }
                if far_after.is_some_and(|after| after <= windows.len()) {
                    let expected = if is_known { 4 } else { usize::MAX };
                    pace = Pace { expected, ..pace }.far(&partitions).unwrap_or(pace);
                }
                let (window, is_last) = asked.window(&partitions, beyond, pace);
                windows.push(window);
                (window, is_last)
            });
            prop_assert_eq!(found, walked(&asked, &events, |_, _| (bounds, true)), "{:?}", windows);
        }
    }

    fn months(count: i64, late: &[(i64, i64)]) -> Vec<Partition> {
        (0..count)
            .map(|month| {
                let late = late.iter().find(|(of, _)| *of == month).map(|(_, earliest)| *earliest);
                let earliest = Some(at(late.unwrap_or(month * 10)));
                Partition { from: at(month * 10), to: at(month * 10 + 10), earliest }
            })
            .collect()
    }

    #[test]
    fn few_partitions_are_asked_first_whichever_the_order() {
        for (order, place, first) in [
            (Order::NEWEST, None, (Some(990), None)),
            (Order::NEWEST_RECORDED, None, (Some(990), None)),
            (Order::OLDEST, None, (None, Some(10))),
            (Order::OLDEST_RECORDED, None, (None, Some(10))),
            // In the middle: what is later is left out, too.
            (Order::NEWEST, Some(505), (Some(500), Some(510))),
            (Order::OLDEST, Some(505), (Some(505), Some(510))),
        ] {
            let place = place.map(|time| Place::at(at(time)));
            let bounds = Window::default();
            let asked = Asked { order, place: place.as_ref(), bounds };
            let (window, is_last) = asked.window(&months(100, &[]), None, Pace::BEGIN);
            let bounds = window.recorded;
            assert_eq!((bounds.from, bounds.to), (first.0.map(at), first.1.map(at)), "{order:?} {window:?}");
            assert!(!is_last);
        }
    }

    #[test]
    fn a_page_that_needs_many_partitions_asks_them_at_once() {
        let pace = |found, more| Pace::BEGIN.after(found, more);
        for (count, pace, far) in [
            (100, Pace::BEGIN, None),
            (100, pace(0, 50), Some(42)),
            (100, pace(0, 50).after(0, 50), Some(100)),
            (100, pace(2, 49), Some(18)),
            (100, pace(40, 11), None),
            (NEAR_MAX as i64, pace(0, 50), None),
        ] {
            assert_eq!(pace.far(&months(count, &[])).map(|pace| pace.count), far, "{count} {pace:?}");
        }
    }

    /// How many partitions each window of a walk that finds nothing is about.
    fn asked_in_all(order: Order, months: &[Partition], mut pace: impl FnMut(Pace) -> Pace) -> Vec<usize> {
        let (mut place, mut counts, mut own) = (None, Vec::new(), Pace::BEGIN);
        loop {
            let asked = Asked { order, place: place.as_ref(), bounds: Window::default() };
            let (window, is_last) = asked.window(months, None, own);
            let Bounds { from, to } = window.recorded;
            let is_asked = |month: &&Partition| {
                from.is_none_or(|from| month.to > from) && to.is_none_or(|to| month.from < to)
            };
            counts.push(months.iter().filter(is_asked).count());
            if is_last {
                return counts;
            }
            place = window.end(order);
            own = pace(own);
        }
    }

    #[test]
    fn hardly_a_partition_is_asked_twice_though_events_are_late() {
        let late: Vec<(i64, i64)> = (0..100).map(|month| (month, month * 10 - 1)).collect();
        for order in ORDERS {
            let counts = asked_in_all(order, &months(100, &late), |pace| pace.after(0, 50));
            assert!(counts.iter().sum::<usize>() <= 110 && counts.len() <= 5, "{order:?} {counts:?}");
        }
    }

    #[test]
    fn what_lies_evenly_is_found_without_asking_much_more() {
        // Two events a month, and a page of fifty.
        let mut found = 0;
        let counts = asked_in_all(Order::NEWEST, &months(100, &[]), |pace| {
            found += 2 * pace.count;
            pace.after(found, 50_usize.saturating_sub(found).max(1))
        });
        let until_full: Vec<usize> = counts
            .iter()
            .scan(0, |sum, count| {
                *sum += count;
                Some(*sum)
            })
            .collect();
        assert!(until_full[3] < 40, "{until_full:?}");
    }

    #[test]
    fn a_late_event_is_found_in_the_partition_of_its_recording() {
        let (late, all) = (months(100, &[(70, 3)]), Window::default());
        let asked = Asked { order: Order::OLDEST, place: None, bounds: all };
        let (first, _) = asked.window(&late, None, Pace::BEGIN);
        // Up to time 3, the first partition has everything; from there on, all up to that one are asked.
        assert_eq!(first.time.to, Some(at(3)));
        let place = first.end(Order::OLDEST);
        let asked = Asked { place: place.as_ref(), ..asked };
        let (second, _) = asked.window(&late, None, Pace::BEGIN.after(0, 50));
        assert!(second.recorded.to >= Some(at(710)), "{second:?}");
        let asked = Asked { place: None, ..asked };
        let (first, _) = asked.window(&months(100, &[]), Some(at(2)), Pace::BEGIN);
        let place = first.end(Order::OLDEST);
        let (second, _) =
            Asked { place: place.as_ref(), ..asked }.window(&months(100, &[]), Some(at(2)), Pace::BEGIN);
        assert_eq!((first.time.to, second.recorded.to), (Some(at(2)), None));
    }
}
