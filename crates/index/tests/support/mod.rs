//! Random lines and filters, and what they mean by looking at every line.

// Every test file is a crate of its own and uses its part of this one.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::ops::{ControlFlow, Range};
use std::path::Path;

use proptest::prelude::*;
use trailseal_core::deliver::{Batch, BatchLine, Sink, SinkError};
use trailseal_event::complete::complete;
use trailseal_event::filter::Filter;
use trailseal_event::line::{write_front, write_rest};
use trailseal_event::{Category, Event, Index, NO_OUTCOME, Outcome, Resource, Severity, Timestamp};
use trailseal_index::{By, Candidate, First, IndexOptions, IndexView, Indexer, Order};

pub const ORIGIN: &str = "example.org/test";
pub const BEGIN: i64 = 1_795_000_000_000_000;
/// Lines of one segment in these tests.
const SEGMENT_LINES: u64 = 37;

/// What is in a trail.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub lines: Vec<Vec<u8>>,
    /// Whether dictionaries are so small that not all values are in them.
    pub has_others: bool,
}

impl Model {
    /// Adds an event as the next line; every so often its line is damaged or the trail's own.
    pub fn push(&mut self, event: &Event, special: u8) {
        let index = self.lines.len() as u64;
        let now = Timestamp::from_micros(BEGIN + index as i64 * 1_000_000);
        let mut line = Vec::new();
        write_front(index, &now.to_text(), &mut line);
        let mut stamp = complete(event, now);
        stamp.system = special < 6;
        write_rest(event, &stamp, &mut line).unwrap();
        match special {
            6..9 => line.truncate(line.len() / 2),
            9 => line = b"not a line".to_vec(),
            _ => {}
        }
        self.lines.push(line);
    }

    pub fn place(index: u64) -> (u64, u64) {
        (index / SEGMENT_LINES * SEGMENT_LINES, index % SEGMENT_LINES * 1_000)
    }

    pub fn batch_lines(&self, range: Range<usize>) -> Vec<BatchLine<'_>> {
        let lines = self.lines[range.clone()].iter().zip(range.start as u64..);
        lines
            .map(|(bytes, index)| {
                let (segment, offset) = Model::place(index);
                BatchLine { index: Index::new(index), bytes, segment: Index::new(segment), offset }
            })
            .collect()
    }

    /// Delivers lines from the cursor on.
    pub fn deliver(&self, indexer: &mut Indexer, count: usize) -> Result<(), SinkError> {
        let from = indexer.position()?.cursor.get() as usize;
        let to = self.lines.len().min(from + count);
        if from < to {
            let lines = self.batch_lines(from..to);
            indexer.deliver(&Batch { first: Index::new(from as u64), lines: &lines })?;
        }
        Ok(())
    }

    /// Indexes in `bounds` of lines that the filter accepts.
    pub fn matches(&self, filter: &Filter, bounds: Range<u64>) -> Vec<u64> {
        let all = 0..self.lines.len() as u64;
        let is_in = |index: &u64| bounds.contains(index) && self.accepts(filter, *index);
        all.filter(is_in).collect()
    }

    pub fn accepts(&self, filter: &Filter, index: u64) -> bool {
        filter.accept(&self.lines[index as usize]).is_some()
    }

    /// Checks every kind of answer against the lines.
    pub fn check(&self, view: &mut IndexView, filter: &Filter, bounds: Range<u64>, limit: usize) {
        let cursor = view.cursor().get();
        let wanted = self.matches(filter, bounds.start..bounds.end.min(cursor));
        self.check_pages(view, filter, &bounds, limit, &wanted);
        let mut asked = 0;
        let mut checker = |candidate: Candidate| {
            asked += 1;
            ControlFlow::Continue(self.accepts(filter, candidate.index.get()))
        };
        let count = view.count(filter, bounds.clone(), &mut checker).unwrap();
        assert_eq!((count.events, count.is_complete), (wanted.len() as u64, true), "{filter:?} {bounds:?}");
        if !self.has_others && is_exact(filter) {
            assert_eq!(asked, 0, "{filter:?}");
        }
        self.check_summaries(view, filter, &bounds, &wanted);
    }

    fn check_pages(
        &self,
        view: &mut IndexView,
        filter: &Filter,
        bounds: &Range<u64>,
        limit: usize,
        wanted: &[u64],
    ) {
        let time = |index: &u64| Event::from_line(&self.lines[*index as usize]).unwrap().effective_time();
        for order in [Order::OLDEST_RECORDED, Order::NEWEST_RECORDED, Order::OLDEST, Order::NEWEST] {
            let mut wanted: Vec<u64> = wanted.to_vec();
            if order.by == By::Time {
                wanted.sort_by_key(time);
            }
            if order.first == First::Newest {
                wanted.reverse();
            }
            wanted.truncate(limit);
            let (mut found, mut seen) = (Vec::new(), Vec::new());
            view.candidates(filter, order, bounds.clone(), &mut |candidate| {
                let index = candidate.index.get();
                let place = (candidate.place.segment.get(), candidate.place.offset);
                assert_eq!(place, Model::place(index));
                seen.push(index);
                if self.accepts(filter, index) {
                    found.push(index);
                }
                if found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
            assert_eq!(found, wanted, "{filter:?} {bounds:?} {order:?}");
            if !self.has_others && is_exact(filter) {
                assert_eq!(seen, found, "{filter:?} is exact");
            }
        }
    }

    fn check_summaries(&self, view: &mut IndexView, filter: &Filter, bounds: &Range<u64>, wanted: &[u64]) {
        use trailseal_index::FacetField as F;
        let events: Vec<_> =
            wanted.iter().map(|index| Event::from_line(&self.lines[*index as usize]).unwrap()).collect();
        let mut checker =
            |candidate: Candidate| ControlFlow::Continue(self.accepts(filter, candidate.index.get()));
        for (_, field) in F::NAMED {
            let mut counts = std::collections::BTreeMap::<String, u64>::new();
            let mut absent = 0;
            for recorded in &events {
                let event = &recorded.event;
                let actor = event.actor.as_ref();
                let value = match field {
                    F::Tenant => event.tenant.clone(),
                    F::Actor => actor.and_then(|actor| actor.id.clone().or(actor.name.clone())),
                    F::Action => Some(event.action.clone()),
                    F::Category => Some(event.category.name().into_owned()),
                    F::ResourceType => event.resource.as_ref().and_then(|resource| resource.kind.clone()),
                    F::Outcome => Some(Outcome::name_or_none(event.outcome).to_owned()),
                    F::Severity => Some(event.severity.to_string()),
                    F::Ip => event.context.ip.clone(),
                };
                match value {
                    Some(value) => *counts.entry(value).or_default() += 1,
                    None => absent += 1,
                }
            }
            let distinct = counts.len() as u64;
            let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
            counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
            if self.has_others {
                let found = view.facets(filter, bounds.clone(), field, usize::MAX, &mut checker).unwrap();
                let held: u64 = found.values.iter().map(|(_, n)| n).sum();
                assert_eq!((held + found.others, found.absent), (events.len() as u64 - absent, absent));
                assert!(
                    found
                        .values
                        .iter()
                        .all(|(value, n)| counts.iter().any(|it| it.0 == *value && it.1 >= *n))
                );
                continue;
            }
            counts.truncate(3);
            let found = view.facets(filter, bounds.clone(), field, 3, &mut checker).unwrap();
            assert_eq!(
                (found.values, found.absent, found.distinct, found.others, found.is_complete),
                (counts, absent, distinct, 0, true),
                "{filter:?} {bounds:?} {field:?}"
            );
        }
        for width in [1_700_000, 60_000_000, 1_000_000_000_000] {
            let mut wanted = std::collections::BTreeMap::<i64, u64>::new();
            for recorded in &events {
                let time = recorded.effective_time().as_micros();
                *wanted.entry(time.div_euclid(width) * width).or_default() += 1;
            }
            let found = view.histogram(filter, bounds.clone(), width as u64, &mut checker).unwrap();
            let found: Vec<(i64, u64)> = found.into_iter().map(|(time, n)| (time.as_micros(), n)).collect();
            assert_eq!(found, wanted.into_iter().collect::<Vec<_>>(), "{filter:?} {bounds:?} {width}");
        }
    }
}

/// Whether the columns alone tell what matches.
fn is_exact(filter: &Filter) -> bool {
    let Filter {
        correlation_id,
        request_id,
        trace_id,
        text,
        id,
        resource,
        recorded_since,
        recorded_until,
        ..
    } = filter;
    [correlation_id, request_id, trace_id, text].iter().all(|values| values.is_empty())
        && id.is_empty()
        // An id without a type has no key.
        && resource.iter().all(|wanted| !wanted.kind.is_empty() || wanted.id.is_none())
        && recorded_since.is_none()
        && recorded_until.is_none()
}

pub fn options(range_events: usize) -> IndexOptions {
    IndexOptions { range_events, ..IndexOptions::new(ORIGIN) }
}

/// With dictionaries of few values.
pub fn narrow_options(range_events: usize, dictionary_values_max: usize) -> IndexOptions {
    IndexOptions { dictionary_values_max, ..options(range_events) }
}

pub fn view(folder: &Path) -> IndexView {
    IndexView::open(folder, ORIGIN).unwrap().unwrap()
}

/// Few values, so that filters find something.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[ab]{1,2}",
        1 => "[a\"\\\\é/Ü日]{0,2}",
        1 => Just("x".repeat(140)),
    ]
}

/// Times around the recorded ones, equal ones, and ones that are far away.
pub fn any_time() -> impl Strategy<Value = Option<Timestamp>> {
    let at = |micros: i64| Some(Timestamp::from_micros(micros));
    prop_oneof![
        2 => Just(None),
        6 => (-100..400_i64).prop_map(move |seconds| at(BEGIN + seconds * 1_000_000)),
        2 => (-3..3_i64).prop_map(move |micros| at(BEGIN + 7_000_000 + micros)),
        // 2099, and before 1970.
        1 => (0..3_i64).prop_map(move |micros| at(4_070_908_800_000_000 + micros)),
        1 => (-2_000_000..2_000_000_i64).prop_map(at),
        // The year 0, and a leap second.
        1 => Just(Timestamp::parse("0000-01-01T00:00:00Z")),
        1 => Just(Timestamp::parse("2016-12-31T23:59:60Z")),
        1 => Just(Timestamp::parse("9999-12-31T23:59:59.999999Z")),
    ]
}

prop_compose! {
    pub fn any_event()(
        texts in proptest::array::uniform12(proptest::option::of(word())),
        action in "[ab](\\.[abé]){0,2}", custom in word(),
        related in proptest::collection::vec(
            (proptest::option::of(word()), proptest::option::of(word()), proptest::option::of(word())), 0..3),
        severity in 0..6_usize, outcome in 0..6_usize, category in 0..12_usize,
        time in any_time(),
    ) -> Event {
        let [id, tenant, actor, name, other, ip, request, correlation, session, trace, kind, resource] = texts;
        let mut event = Event::new(action).severity(Severity::ALL[severity])
            .category(Category::NAMED.get(category).cloned().unwrap_or(Category::Custom(custom.into())));
        event.outcome = Outcome::ALL.get(outcome).copied();
        event.id = id;
        event.tenant = tenant;
        event.time = time;
        if actor.is_some() || name.is_some() {
            event = event.actor("");
        }
        if let Some(it) = &mut event.actor {
            (it.id, it.name) = (actor, name.clone());
        }
        if let Some(other) = other {
            event = event.on_behalf_of(other, "why");
        }
        event.context.ip = ip;
        (event.context.request_id, event.context.correlation_id) = (request, correlation);
        (event.context.session_id, event.context.trace_id) = (session, trace);
        event.resource = kind.is_some().then(|| resource_of((kind, resource, name)));
        event.related = related.into_iter().map(resource_of).collect();
        event
    }
}

fn resource_of((kind, id, name): (Option<String>, Option<String>, Option<String>)) -> Resource {
    let mut resource = Resource::default();
    (resource.kind, resource.id, resource.name) = (kind, id, name);
    resource
}

pub fn any_filter() -> impl Strategy<Value = Filter> {
    const NAMES: [&str; 10] = [
        "tenant",
        "actor",
        "on_behalf_of",
        "resource",
        "ip",
        "correlation_id",
        "request_id",
        "session_id",
        "trace_id",
        "text",
    ];
    let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let severities = names(&Severity::ALL.map(Severity::name));
    let outcomes = names(&[&Outcome::ALL.map(Outcome::name)[..], &[NO_OUTCOME]].concat());
    let time = (-100..400_i64).prop_map(|at| Timestamp::from_micros(BEGIN + at * 1_000_000).to_string());
    let pair = prop_oneof![
        8 => (proptest::sample::select(&NAMES[..]), word()),
        3 => (Just("action"), "[ab.é*?]{1,4}"),
        1 => (Just("action"), "[ab]\\.\\*"),
        1 => (Just("severity"), proptest::sample::select(severities)),
        1 => (Just("outcome"), proptest::sample::select(outcomes)),
        1 => (Just("category"), proptest::sample::select(names(&["system", "admin", "custom:a", "custom:b"]))),
        2 => (Just("since"), time.clone()),
        2 => (Just("until"), time.clone()),
        1 => (Just("recorded_since"), time.clone()),
        1 => (Just("recorded_until"), time),
        2 => (Just("resource"), (word(), word()).prop_map(|(kind, id)| format!("{kind}/{id}"))),
        2 => (Just("id"), prop_oneof![word(), (0..300_u32).prop_map(|index| index.to_string())]),
        1 => (Just("system"), Just("true".to_owned())),
    ];
    proptest::collection::vec(pair, 0..4).prop_map(|pairs| {
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
        Filter::from_pairs(pairs, Timestamp::from_micros(BEGIN)).unwrap()
    })
}
