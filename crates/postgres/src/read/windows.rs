//! A search in steps: parts of the order, each with the partitions that can have its events.
//!
//! Partitions hold what was recorded in some span, and a statement over many of them takes long to plan. An event's time
//! is never later than its recording. So from the newest on by time, whatever is at or after some time was also recorded
//! then or later, and a few partitions have all of it. From the oldest on there is no such bound, since a late event may
//! be in any later partition: but each partition's earliest time is known ([`Partition::earliest`]).
//!
//! What must hold: the windows follow each other in the order, leave nothing out, and each has all events of its part.

use trailseal_event::{By, First, Order, Timestamp};

use super::place::Place;

/// Each window has this many times as many partitions as the one before.
const GROWTH: usize = 4;

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
    /// The windows, for partitions in the order of their times. `beyond` is the earliest time of events that are in none
    /// of them.
    pub(super) fn windows(&self, partitions: &[Partition], beyond: Option<Timestamp>) -> Vec<Window> {
        let mut whole = self.bounds;
        // Nothing was recorded before its time.
        whole.recorded.from = latest(whole.recorded.from, whole.time.from);
        whole.recorded.to = earliest_of(whole.recorded.to, self.last_of(partitions, beyond));
        match (self.order.by, self.order.first) {
            (_, First::Newest) => self.newest_first(whole, partitions),
            (By::Recorded, First::Oldest) => self.oldest_first(whole, partitions, &|_| None),
            (By::Time, First::Oldest) => {
                whole.recorded.from = latest(whole.recorded.from, self.place.map(|place| place.time.time()));
                let earliest = |after: usize| {
                    let rest = partitions.get(after..).unwrap_or_default();
                    rest.iter().filter_map(|partition| partition.earliest).chain(beyond).min()
                };
                self.oldest_first(whole, partitions, &earliest)
            }
        }
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

    fn newest_first(&self, whole: Window, partitions: &[Partition]) -> Vec<Window> {
        let is_by_time = self.order.by == By::Time;
        let place = self.place.map(|place| if is_by_time { place.time } else { place.recorded }.time());
        let top = [place, whole.time.to.filter(|_| is_by_time), whole.recorded.to];
        let top = top.into_iter().flatten().min();
        // Those made ahead have nothing yet.
        let used = partitions.iter().rposition(|partition| partition.earliest.is_some());
        let mut rest = partitions.get(..used.map_or(0, |last| last + 1)).unwrap_or_default();
        if let Some(top) = top {
            rest = &rest[..rest.partition_point(|partition| partition.from <= top)];
        }
        let (mut windows, mut above, mut count) = (Vec::new(), None, 1);
        while rest.len() > count {
            rest = &rest[..rest.len() - count];
            count *= GROWTH;
            let Some(from) = rest.last().map(|partition| partition.to) else { break };
            if whole.recorded.from.is_some_and(|least| from <= least) {
                break;
            }
            windows.push(self.between(whole, Some(from), above));
            above = Some(from);
        }
        windows.push(self.between(whole, None, above));
        windows
    }

    /// The part from one moment up to another, from the newest on. By time, what it has may have been recorded later.
    fn between(&self, whole: Window, from: Option<Timestamp>, to: Option<Timestamp>) -> Window {
        let mut window = whole;
        window.recorded.from = latest(whole.recorded.from, from);
        match self.order.by {
            By::Time => {
                window.time.from = latest(whole.time.from, from);
                window.time.to = earliest_of(whole.time.to, to);
            }
            By::Recorded => window.recorded.to = earliest_of(whole.recorded.to, to),
        }
        window
    }

    /// `earliest` says the earliest time in all partitions from a number on, and is asked only by time.
    fn oldest_first(
        &self,
        whole: Window,
        partitions: &[Partition],
        earliest: &dyn Fn(usize) -> Option<Timestamp>,
    ) -> Vec<Window> {
        let is_by_time = self.order.by == By::Time;
        let place = self.place.map(|place| if is_by_time { place.time } else { place.recorded }.time());
        let bottom = latest(whole.recorded.from, place);
        let mut after =
            bottom.map_or(0, |bottom| partitions.partition_point(|partition| partition.to <= bottom));
        let (mut windows, mut begin, mut count) = (Vec::new(), None, 1);
        loop {
            after += count;
            count *= GROWTH;
            if after >= partitions.len() {
                break;
            }
            let Some(end) = partitions.get(after - 1).map(|partition| partition.to) else { break };
            if whole.recorded.to.is_some_and(|most| most <= end) {
                break;
            }
            let mut window = whole;
            window.recorded.to = Some(end);
            if is_by_time {
                // What is left has no earlier time than this; up to there, everything is here.
                let Some(complete) = earliest(after) else { break };
                let complete =
                    if cfg!(trailseal_fault = "store_late_events_ignored") { end } else { complete };
                let begun = latest(begin, latest(whole.time.from, place));
                if begun.is_some_and(|begun| complete <= begun) {
                    continue;
                }
                window.time = Bounds {
                    from: latest(whole.time.from, begin),
                    to: earliest_of(whole.time.to, Some(complete)),
                };
                begin = Some(complete);
                windows.push(window);
                if whole.time.to.is_some_and(|most| most <= complete) {
                    return windows;
                }
            } else {
                window.recorded.from = latest(whole.recorded.from, begin);
                begin = Some(end);
                windows.push(window);
            }
        }
        let mut last = whole;
        match self.order.by {
            By::Time => {
                last.time.from = latest(whole.time.from, begin);
                last.recorded.from = latest(whole.recorded.from, begin);
            }
            By::Recorded => last.recorded.from = latest(whole.recorded.from, begin),
        }
        windows.push(last);
        windows
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
    fn walked(asked: &Asked<'_>, windows: &[Window], events: &[Event]) -> Vec<Event> {
        let place = |place: &Place| (place.time.time().as_micros(), place.recorded.time().as_micros());
        let (mut found, mut reached) = (Vec::new(), asked.place.map(|it| key(asked.order, place(it))));
        for window in windows {
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
            if let Some(end) = window.end(asked.order) {
                let (time, recorded) = place(&end);
                reached = Some(if asked.order.by == By::Time { (time, recorded) } else { (recorded, -1) });
            }
        }
        found
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
                time: crate::moment::Moment::of(at(one.min(other))),
                ..Place::at(at(other))
            });
            let asked = Asked { order, place: place.as_ref(), bounds };
            let windows = asked.windows(&partitions, beyond);
            let whole = [bounds];
            prop_assert_eq!(
                walked(&asked, &windows, &events),
                walked(&Asked { bounds: Window::default(), ..asked }, &whole, &events),
                "{:?}", windows
            );
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
            let windows = asked.windows(&months(100, &[]), None);
            let bounds = windows[0].recorded;
            assert_eq!((bounds.from, bounds.to), (first.0.map(at), first.1.map(at)), "{order:?} {windows:?}");
            assert!(windows.len() <= 5, "{windows:?}");
        }
    }

    #[test]
    fn a_late_event_is_found_in_the_partition_of_its_recording() {
        let asked = Asked { order: Order::OLDEST, place: None, bounds: Window::default() };
        let windows = asked.windows(&months(100, &[(70, 3)]), None);
        // Up to time 3, the first partition has everything; from there on, all up to that one are asked.
        assert_eq!(windows[0].time.to, Some(at(3)));
        assert!(windows[1].recorded.to >= Some(at(710)), "{windows:?}");
        let windows = asked.windows(&months(100, &[]), Some(at(2)));
        assert_eq!((windows[0].time.to, windows[1].recorded.to), (Some(at(2)), None));
    }
}
