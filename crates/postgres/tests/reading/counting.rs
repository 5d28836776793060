//! Counts of the store against those of the index and of looking at every line.

use std::collections::BTreeMap;
use std::time::Duration;

use trailseal_core::deliver::{Batch, BatchLine, Sink};
use trailseal_event::count::{FacetField, FacetValue, Summary};
use trailseal_event::filter::Filter;
use trailseal_event::line::effective_time;
use trailseal_event::{Event, Index, Outcome, Timestamp};
use trailseal_index::Search;
use trailseal_postgres::{Reader, StoreError, StoreSink};

use super::{Found, Server, Step, deliver, lines, reader, record};

/// Too many to be left out.
const ALL: usize = 100_000;

/// A value of an event, and the name that belongs to it.
fn value_of(event: Event, field: FacetField) -> Option<(String, Option<String>)> {
    let alone = |value: Option<String>| value.map(|value| (value, None));
    match field {
        FacetField::Tenant => alone(event.tenant),
        FacetField::Actor => {
            let actor = event.actor?;
            match (actor.id, actor.name) {
                (Some(id), name) => Some((id, name)),
                (None, name) => alone(name),
            }
        }
        FacetField::Action => alone(Some(event.action)),
        FacetField::Category => alone(Some(event.category.name().into_owned())),
        FacetField::ResourceType => alone(event.resource?.kind),
        FacetField::Outcome => alone(Some(Outcome::name_or_none(event.outcome).to_owned())),
        FacetField::Severity => alone(Some(event.severity.name().to_owned())),
        FacetField::Ip => alone(event.context.ip),
    }
}

/// How often each value comes that has `part` in it or in the name that belongs to it, and the names.
fn counted(matches: &[Found], field: FacetField, part: &str) -> BTreeMap<String, (u64, Vec<String>)> {
    let part = part.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&part);
    let mut counts: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
    for (_, _, _, line) in matches {
        let Ok(recorded) = Event::from_line(line) else { continue };
        let Some((value, name)) = value_of(recorded.event, field) else { continue };
        if has(&value) || name.as_deref().is_some_and(has) {
            let (count, names) = counts.entry(value).or_default();
            *count += 1;
            names.extend(name);
        }
    }
    counts
}

fn ranked(counts: &BTreeMap<String, (u64, Vec<String>)>, top: usize) -> Vec<(String, u64)> {
    let mut ranked: Vec<(String, u64)> = counts.iter().map(|(value, (n, _))| (value.clone(), *n)).collect();
    ranked.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    ranked.truncate(top);
    ranked
}

fn pairs(values: &[FacetValue]) -> Vec<(String, u64)> {
    values.iter().map(|value| (value.value.clone(), value.count)).collect()
}

fn bars(matches: &[Found], width: Duration) -> Vec<(Timestamp, u64)> {
    let (mut bars, width) = (BTreeMap::new(), width.as_micros() as i64);
    for time in matches.iter().filter_map(|(_, _, _, line)| effective_time(line)) {
        let time = time.as_micros();
        *bars.entry(Timestamp::from_micros(time - time.rem_euclid(width))).or_insert(0) += 1;
    }
    bars.into_iter().collect()
}

/// Values of every field, all of them and some.
pub(crate) fn check_values(reader: &Reader, matches: &[Found], filter: &Filter, part: &str) {
    for (name, field) in FacetField::NAMED {
        let wanted = counted(matches, field, "");
        let values = reader.values(filter, field, "", ALL).unwrap();
        assert_eq!(pairs(&values), ranked(&wanted, ALL), "{name} {filter:?}");
        for FacetValue { value, name, .. } in &values {
            let names = &wanted[value].1;
            assert!(name.as_ref().is_none_or(|name| names.contains(name)), "{name:?} of {value}");
            let has_name = names.iter().any(|name| !name.is_empty() && !name.starts_with("hmac:"));
            assert_eq!(name.is_some(), has_name, "{value}: {names:?}");
        }
        assert_eq!(reader.facets(filter, field, 2).unwrap(), ranked(&wanted, 2), "{name} {filter:?}");
        let wanted = ranked(&counted(matches, field, part), 5);
        let values = reader.values(filter, field, part, 5).unwrap();
        assert_eq!(pairs(&values), wanted, "{name} with {part:?} in it {filter:?}");
    }
}

/// Bars of several widths, among them ones beyond what dates can say.
pub(crate) fn check_bars(reader: &Reader, matches: &[Found], filter: &Filter) {
    for seconds in [1, 3_600, 40 * 86_400, 300 * 365 * 86_400, 20_000 * 365 * 86_400] {
        let width = Duration::from_secs(seconds);
        assert_eq!(reader.histogram(filter, width).unwrap(), bars(matches, width), "{width:?} {filter:?}");
    }
    let odd = Duration::from_micros(86_399_999_993);
    assert_eq!(reader.histogram(filter, odd).unwrap(), bars(matches, odd), "{filter:?}");
}

/// All kinds of counts, of what matches by looking at every line. `number` varies what is asked.
pub(crate) fn check(reader: &Reader, search: &mut Search, matches: &[Found], filter: &Filter, number: usize) {
    let (name, field) = FacetField::NAMED[number % FacetField::NAMED.len()];
    let part = ["", "a", "É", "B/", "u1", "\u{fffd}", "192.0", "N"][number % 7];
    let wanted = ranked(&counted(matches, field, part), 4);
    let values = reader.values(filter, field, part, 4).unwrap();
    assert_eq!(pairs(&values), wanted, "{name} with {part:?} in it {filter:?}");
    let width = Duration::from_secs([1, 60, 86_400][number % 3]);
    assert_eq!(reader.histogram(filter, width).unwrap(), bars(matches, width), "{filter:?}");
    {
        let bucket = Some(Duration::from_secs(7_200)).filter(|_| number.is_multiple_of(2));
        let (found, embedded) =
            (reader.summary(filter, 6, bucket).unwrap(), search.summary(filter, 6, bucket).unwrap());
        assert_eq!(without_names(&found), without_names(&embedded), "{filter:?}");
        assert_eq!(found.total, matches.len() as u64, "{filter:?}");
        assert_eq!(found.histogram, bars(matches, found.bucket), "{filter:?}");
        for ((name, field), (told, values)) in FacetField::NAMED.iter().zip(&found.facets) {
            assert_eq!((name, pairs(values)), (told, ranked(&counted(matches, *field, ""), 6)), "{filter:?}");
        }
    }
}

/// Which of several names an index gives, if they are equally frequent in its parts, is its own affair.
fn without_names(summary: &Summary) -> Summary {
    let mut summary = summary.clone();
    summary.facets.iter_mut().flat_map(|(_, values)| values).for_each(|value| value.name = None);
    summary
}

#[test]
fn an_actor_has_the_name_that_comes_most_often() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let event = |name: &str| -> Step {
        let mut event = Event::new("a").actor("u1");
        event.actor.as_mut().unwrap().name = Some(name.to_owned());
        (event, 1)
    };
    let steps = ["Chen", "Li", "Chen Wei", "Li", "Chen", "Li"].map(event).to_vec();
    record(folder.path(), &[steps]);
    deliver(folder.path(), &server);
    let reader = reader(&server, Vec::new());
    let values = |part: &str| reader.values(&Filter::default(), FacetField::Actor, part, 9).unwrap();
    let told =
        |name: &str, count| vec![FacetValue { value: "u1".to_owned(), name: Some(name.to_owned()), count }];
    assert_eq!(values(""), told("Li", 6));
    assert_eq!(values("CHEN"), told("Chen", 3));
    assert_eq!(values("wei"), told("Chen Wei", 1));
    assert_eq!(values("nobody"), []);
    let summary = reader.summary(&Filter::default(), 9, None).unwrap();
    assert_eq!((summary.total, &summary.facets[1].1), (6, &told("Li", 6)));
}

/// An address as it was sent, whatever else in the event looks like one.
#[test]
fn an_address_is_counted_as_it_was_sent() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let event = |ip: &str, detail: Option<&str>| -> Step {
        let mut event = Event::new("a");
        event.context.ip = Some(ip.to_owned());
        if let Some(detail) = detail {
            event = event.detail("ip", detail);
        }
        (event, 1)
    };
    let steps = vec![
        event("192.0.2.7", None),
        event("192.0.2.7", None),
        event("192.0.2.7:443", None),
        event("192.0.2.7:443", Some("192.0.2.7")),
        event("::ffff:192.0.2.7", Some("192.0.2.7")),
        event("not \"one\"", None),
        event("192.0.2.7", Some("192.0.2.8")),
    ];
    record(folder.path(), &[steps]);
    deliver(folder.path(), &server);
    let (lines, reader) = (lines(folder.path()), reader(&server, Vec::new()));
    let events =
        lines.into_iter().filter(|(_, _, _, line)| Filter::default().accepts(line)).collect::<Vec<_>>();
    check_values(&reader, &events, &Filter::default(), "192.0.2.7:");
    let counts = reader.facets(&Filter::default(), FacetField::Ip, 9).unwrap();
    assert_eq!(counts[0], ("192.0.2.7".to_owned(), 3));
}

fn line(index: usize, more: &str) -> Vec<u8> {
    format!(
        r#"{{"v":1,"index":{index},"recorded":"2026-02-01T03:04:05.000006Z","id":"i{index}","action":"x"{more}}}"#
    )
    .into_bytes()
}

fn deliver_lines(server: &Server, lines: &[Vec<u8>]) {
    let one =
        |(index, bytes)| BatchLine { index: Index::new(index), bytes, segment: Index::new(0), offset: 0 };
    let batch: Vec<BatchLine<'_>> = (0..).zip(lines.iter().map(Vec::as_slice)).map(one).collect();
    let mut sink = StoreSink::new(server.url(), "example.org/a");
    sink.position().unwrap();
    sink.deliver(&Batch { first: Index::new(0), lines: &batch }).unwrap();
}

/// Memory is bounded where only lines tell the values, and time everywhere.
#[test]
fn what_takes_too_much_is_refused_and_said() {
    let server = Server::start();
    let long = "a".repeat(5_000);
    let lines: Vec<Vec<u8>> =
        (0..400).map(|index| line(index, &format!(r#","tenant":"{long}{index}""#))).collect();
    deliver_lines(&server, &lines);
    let reader = reader(&server, Vec::new());
    let all = Filter::default();
    assert_eq!(reader.count(&all).unwrap(), 400);
    assert_eq!(reader.facets(&all, FacetField::Action, 9).unwrap(), [("x".to_owned(), 400)]);
    let too_much = |error: Option<StoreError>| {
        let error = error.unwrap();
        assert!(matches!(error, StoreError::WorkLimit { .. }), "{error:?}");
        assert!(error.to_string().contains("narrow what is asked"), "{error}");
    };
    too_much(reader.values(&all, FacetField::Tenant, "", 9).err());
    too_much(reader.summary(&all, 9, None).err());
    let hurried = reader.clone().within(Duration::ZERO);
    too_much(hurried.count(&all).err());
    too_much(hurried.values(&all, FacetField::Action, "", 9).err());
    too_much(hurried.histogram(&all, Duration::from_secs(1)).err());
    too_much(hurried.summary(&all, 9, None).err());
    // The connection is of use again.
    assert_eq!(reader.count(&all).unwrap(), 400);
}

/// More bars than a histogram can have are refused, and avoided where the width is free.
#[test]
fn too_many_bars_are_refused_and_said() {
    let server = Server::start();
    deliver_lines(&server, &[line(0, "")]);
    server.execute(
        "INSERT INTO trailseal.events_2026_02 (origin, idx, recorded, time, action, category, severity, system, leaf, line) \
         SELECT 'example.org/a', number, '2026-02-01T03:04:06Z', timestamptz '2026-01-30T00:00:00Z' - number * interval '1 s', \
         'x', 'other', 'info', false, '', '' FROM generate_series(1, 100001) AS number",
    );
    let (reader, all) = (reader(&server, Vec::new()), Filter::default());
    let error = reader.histogram(&all, Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, StoreError::Buckets { max: 100_000 }), "{error:?}");
    assert!(matches!(reader.summary(&all, 3, Some(Duration::from_secs(1))), Err(StoreError::Buckets { .. })));
    let summary = reader.summary(&all, 3, None).unwrap();
    assert_eq!((summary.total, summary.bucket), (100_002, Duration::from_secs(3_600)));
    assert_eq!(summary.histogram.iter().map(|(_, count)| count).sum::<u64>(), 100_002);
}
