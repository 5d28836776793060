//! No filter may accept a line whose row the conditions leave out, whatever is in the line.

#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use trailseal_event::complete::complete;
use trailseal_event::fields::Fields;
use trailseal_event::filter::glob_matches;
use trailseal_event::line::{parse_front, write_front, write_rest};
use trailseal_event::{Category, Event, Resource, Severity, Timestamp};

use super::super::condition::after_prefix;
use super::super::sql::Sql;
use super::*;
use crate::columns::related;

const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

/// A row, as far as conditions ask for it.
struct Row {
    texts: Vec<(&'static str, Option<String>)>,
    related: Vec<String>,
    system: bool,
    index: i64,
    time: Timestamp,
    recorded: Timestamp,
}

impl Row {
    fn of(line: &[u8]) -> Row {
        let front = parse_front(line);
        let recorded = front.as_ref().map_or(NOW, |front| front.recorded);
        let system = front.as_ref().is_some_and(|front| front.system);
        let index = front.as_ref().map_or(7, |front| front.index) as i64;
        let Some(fields) = Fields::of_line(line) else {
            let texts = vec![("action", Some(String::new()))];
            return Row { texts, related: Vec::new(), system, index, time: recorded, recorded };
        };
        let own =
            |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(|it| cleaned(it).into_owned());
        let ip = fields.ip.as_deref().map(|ip| cleaned_address(ip).into_owned());
        let texts = vec![
            ("action", Some(cleaned(&fields.action).into_owned())),
            ("category", Some(cleaned(&fields.category).into_owned())),
            ("severity", Some(fields.severity.name().to_owned())),
            ("outcome", fields.outcome.map(|outcome| outcome.name().to_owned())),
            ("id", own(&fields.id)),
            ("tenant", own(&fields.tenant)),
            ("actor_id", own(&fields.actor_id)),
            ("actor_name", own(&fields.actor_name)),
            ("on_behalf_of", own(&fields.on_behalf_of)),
            ("resource_type", own(&fields.resource.kind)),
            ("resource_id", own(&fields.resource.id)),
            ("resource_name", own(&fields.resource.name)),
            ("ip", ip),
            ("request_id", own(&fields.request_id)),
            ("correlation_id", own(&fields.correlation_id)),
            ("session_id", own(&fields.session_id)),
            ("trace_id", own(&fields.trace_id)),
        ];
        let time = Timestamp::from_micros(fields.time);
        Row { texts, related: related(&fields), system, index, time, recorded }
    }

    fn text(&self, column: &str) -> Option<&str> {
        self.texts.iter().find(|(name, _)| *name == column).and_then(|(_, text)| text.as_deref())
    }

    /// As PostgreSQL would: what is missing fulfils nothing.
    fn fulfils(&self, condition: &Condition) -> bool {
        let has = |column: &str, is: &dyn Fn(&str) -> bool| self.text(column).is_some_and(is);
        match condition {
            Condition::Text { column, values } => has(column, &|text| values.iter().any(|it| it == text)),
            Condition::NotEmpty(column) => has(column, &|text| !text.is_empty()),
            Condition::OtherText { column, values } => {
                !has(column, &|text| values.iter().any(|it| it == text))
            }
            Condition::Absent(column) => self.text(column).is_none(),
            Condition::Prefix { column, prefix } => {
                has(column, &|text| text >= &**prefix && after_prefix(prefix).is_none_or(|end| text < &*end))
            }
            Condition::Like { column, pattern } => {
                has(column, &|text| text.len() >= TEXT_BYTES_MAX - 3 || is_like(pattern, text))
            }
            Condition::Altered(column) => {
                has(column, &|text| text.len() >= TEXT_BYTES_MAX - 3 || text.contains(REPLACED))
            }
            Condition::SlashedType => has("resource_type", &|text| text.contains('/')),
            Condition::Related(values) => self.related.iter().any(|it| values.contains(it)),
            Condition::Indexes(indexes) => indexes.contains(&self.index),
            Condition::NotSystem => !self.system,
            Condition::Both(some) => some.iter().all(|condition| self.fulfils(condition)),
            Condition::Either(some) => some.iter().any(|condition| self.fulfils(condition)),
        }
    }

    fn is_narrowed_to(&self, narrowing: &Narrowing) -> bool {
        let is_in = |bounds: Bounds, time: Timestamp| {
            bounds.from.is_none_or(|from| from <= time) && bounds.to.is_none_or(|to| time < to)
        };
        let Window { recorded, time } = narrowing.bounds();
        !narrowing.is_never()
            && narrowing.all.iter().all(|condition| self.fulfils(condition))
            && (narrowing.any.is_empty() || narrowing.any.iter().any(|condition| self.fulfils(condition)))
            && is_in(recorded, self.recorded)
            && is_in(time, self.time)
    }

    fn is_in_doubt(&self, narrowing: &Narrowing) -> bool {
        match &narrowing.doubts {
            Doubts::All => true,
            Doubts::Of(doubts) => doubts.iter().any(|condition| self.fulfils(condition)),
        }
    }
}

/// `LIKE`, by way of globs; the patterns of these tests have no `*`, `?` or backslash of their own.
fn is_like(pattern: &str, text: &str) -> bool {
    let marked = pattern.replace("\\%", "\u{1}").replace("\\_", "\u{2}").replace("\\\\", "\u{3}");
    let glob = marked.replace('%', "*").replace('_', "?");
    let glob = glob.replace('\u{1}', "%").replace('\u{2}', "_").replace('\u{3}', "\\");
    glob_matches(&glob, text)
}

/// Boxed, since values of large strategies would not fit on the stack of a test.
fn word() -> BoxedStrategy<String> {
    let words = prop_oneof![
        8 => "[ab]{1,2}",
        2 => "[ab/]{1,4}",
        2 => "[a\0\u{fffd}é%_\\\\]{0,3}",
        1 => Just("a".repeat(1_020)),
        1 => (600..700_usize).prop_map(|count| "éa".repeat(count / 2)),
        1 => Just("\0".repeat(400)),
        1 => Just(String::new()),
        1 => prop::sample::select(vec!["192.0.2.7".to_owned(), "::ffff:192.0.2.7".into(), "192.0.2.7:443".into()]),
    ];
    words.boxed()
}

fn maybe() -> BoxedStrategy<Option<String>> {
    proptest::option::weighted(0.6, word()).boxed()
}

prop_compose! {
    fn any_event()(
        texts in proptest::array::uniform12(maybe()), action in prop_oneof![9 => "[ab]{1,2}(\\.[ab%_é\0\u{fffd}]){0,2}", 1 => Just("ab".repeat(600))],
        related in proptest::collection::vec((maybe(), maybe(), maybe()), 0..3), custom in word(),
        severity in 0..6_usize, outcome in 0..6_usize, category in 0..12_usize,
        time in proptest::option::of(-5..5_i64),
    ) -> Event {
        let [id, tenant, actor, name, other, ip, request, correlation, session, trace, kind, resource] = texts;
        let mut event = Event::new(action).severity(Severity::ALL[severity])
            .category(Category::NAMED.get(category).cloned().unwrap_or(Category::Custom(custom.into())));
        event.outcome = Outcome::ALL.get(outcome).copied();
        (event.id, event.tenant) = (id, tenant);
        event.time = time.map(|seconds| Timestamp::from_micros(NOW.as_micros() + seconds * 1_000_000));
        event = event.actor("");
        if let Some(it) = &mut event.actor {
            (it.id, it.name) = (actor, name.clone());
        }
        if let Some(other) = other {
            event = event.on_behalf_of(other, "why");
        }
        event.context.ip = ip;
        (event.context.request_id, event.context.correlation_id) = (request, correlation);
        (event.context.session_id, event.context.trace_id) = (session, trace);
        event.resource = Some(resource_of((kind, resource, name)));
        event.related = related.into_iter().map(resource_of).collect();
        event
    }
}

fn resource_of((kind, id, name): (Option<String>, Option<String>, Option<String>)) -> Resource {
    let mut resource = Resource::default();
    (resource.kind, resource.id, resource.name) = (kind, id, name);
    resource
}

/// A filter for what is in the event, mostly, so that many match.
fn any_filter() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    const NAMES: [&str; 12] = [
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
        "id",
        "origin",
    ];
    let pair = prop_oneof![
        8 => (proptest::sample::select(&NAMES[..11]), word()),
        4 => (Just("action"), "[ab.é*?%_\0\u{fffd}]{1,4}"),
        1 => (Just("action"), (500..520_usize).prop_map(|count| format!("{}*", "ab".repeat(count)))),
        2 => (Just("action"), "[ab]{1,2}\\*|\\*[ab]|\\*"),
        1 => (Just("severity"), proptest::sample::select(vec!["info".to_owned(), "critical".to_owned()])),
        1 => (Just("outcome"), proptest::sample::select(vec!["none".to_owned(), "denied".to_owned()])),
        1 => (Just("category"), prop_oneof![Just("admin".to_owned()), word().prop_map(|it| format!("custom:{it}"))]),
        1 => (proptest::sample::select(&["since", "until", "recorded_since", "recorded_until"][..]),
            (-6..6_i64).prop_map(|at| Timestamp::from_micros(NOW.as_micros() + at * 1_000_000).to_string())),
        4 => (Just("resource"), (word(), word()).prop_map(|(kind, id)| format!("{kind}/{id}"))),
        1 => (Just("id"), (0..9_u32).prop_map(|index| index.to_string())),
        1 => (Just("system"), Just("true".to_owned())),
    ];
    proptest::collection::vec(pair.boxed(), 0..4)
}

fn line(event: &Event, special: u8) -> Vec<u8> {
    let mut line = Vec::new();
    write_front(7, &NOW.to_text(), &mut line);
    let mut stamp = complete(event, NOW);
    stamp.system = special < 20;
    write_rest(event, &stamp, &mut line).unwrap();
    match special {
        20..40 => line.truncate(line.len() / 2),
        40..45 => line = b"not a line".to_vec(),
        _ => {}
    }
    line
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_matches_is_never_left_out_and_what_is_not_in_doubt_matches(
        event in any_event(), special in any::<u8>(), pairs in any_filter(),
        of_event in proptest::collection::vec(0..11_usize, 0..3),
    ) {
        let line = line(&event, special);
        let context = &event.context;
        let resource = event.resource.as_ref().unwrap();
        let joined = |it: &Resource| Some(format!(
            "{}/{}", it.kind.as_deref().unwrap_or_default(), it.id.as_ref().or(it.name.as_ref())?
        ));
        let own = [
            ("tenant", event.tenant.clone()), ("actor", event.actor.as_ref().unwrap().id.clone()),
            ("actor", event.actor.as_ref().unwrap().name.clone()), ("request_id", context.request_id.clone()),
            ("correlation_id", context.correlation_id.clone()), ("ip", context.ip.clone()),
            ("id", event.id.clone().map(|id| format!("id:{id}"))), ("action", Some(event.action.clone())),
            ("resource", joined(resource)), ("resource", event.related.first().and_then(joined)),
            ("category", Some(event.category.name().into_owned())),
        ];
        let own = of_event.iter().filter_map(|at| Some((own[*at].0, own[*at].1.as_deref()?)));
        let pairs = own.chain(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        let mut filter = Filter::default();
        for (name, value) in pairs {
            // No category, for one.
            let _ = filter.set(name, value, NOW);
        }
        let filter = filter.as_stored(None);
        let narrowing = Narrowing::of(&filter);
        let row = Row::of(&line);
        let is_in = row.is_narrowed_to(&narrowing);
        if filter.accepts(&line) {
            prop_assert!(is_in, "{:?} {:?}", filter, narrowing);
        } else if is_in {
            prop_assert!(row.is_in_doubt(&narrowing), "{:?} {:?}", filter, narrowing);
        }
    }
}

fn shown(pairs: &[(&str, &str)]) -> String {
    let filter = Filter::from_pairs(pairs.iter().copied(), NOW).unwrap();
    let narrowing = Narrowing::of(&filter);
    let mut sql = Sql::default();
    for condition in &narrowing.all {
        condition.write(&mut sql);
        sql.push(" & ");
    }
    for condition in &narrowing.any {
        condition.write(sql.push(" | "));
    }
    sql.shown()
}

#[test]
fn each_filter_has_a_condition_that_an_index_serves() {
    for (pairs, wanted) in [
        (&[][..], "NOT system & "),
        (&[("tenant", "t")], "action <> '' & NOT system &  | tenant = 't'"),
        (
            &[("tenant", "t"), ("actor", "u")],
            "action <> '' & NOT system & tenant = 't' &  | actor_id = 'u' | actor_name = 'u'",
        ),
        (
            &[("actor", "u"), ("actor", "v")],
            "action <> '' & NOT system &  | actor_id = 'u' | actor_id = 'v' | \
            actor_name = ANY(['u', 'v'])",
        ),
        (&[("action", "a.b")], "action <> '' & NOT system &  | action = 'a.b'"),
        (
            &[("action", "a.*"), ("tenant", "t")],
            "action <> '' & NOT system & (action >= 'a.' AND action < 'a/' AND \
            (action LIKE 'a.%' OR octet_length(action) >= 1021)) &  | tenant = 't'",
        ),
        (
            &[("request_id", "r"), ("tenant", "t")],
            "action <> '' & NOT system & tenant = 't' &  | request_id = 'r'",
        ),
        (&[("id", "id:7"), ("id", "8")], "action <> '' & NOT system &  | (id = '7' OR idx = ANY([8]))"),
        (
            &[("resource", "a/7")],
            "action <> '' & NOT system &  | (resource_id = '7' AND resource_type = 'a') | \
            ((resource_name = '7' AND resource_type = 'a') OR (resource_type = 'a/7' AND resource_type LIKE '%/%') \
            OR related && ['a/7', 'a/7/'])",
        ),
        (&[("outcome", "none"), ("system", "true")], "action <> '' & outcome IS NULL & "),
    ] {
        assert_eq!(shown(pairs), wanted, "{pairs:?}");
    }
}

#[test]
fn many_values_are_looked_up_together() {
    let filter = Filter { actor: (0..9).map(|at| format!("u{at}")).collect(), ..Filter::default() };
    assert_eq!(Narrowing::of(&filter).any.len(), 1);
}

#[test]
fn no_value_is_part_of_the_statement() {
    let odd = "x'; DROP TABLE trailseal.events; --";
    for name in ["tenant", "actor", "action", "resource", "ip", "id", "request_id", "origin", "on_behalf_of"]
    {
        let filter = Filter::from_pairs([(name, odd)], NOW).unwrap();
        let narrowing = Narrowing::of(&filter);
        let mut sql = Sql::default();
        narrowing.all.iter().chain(&narrowing.any).for_each(|condition| condition.write(&mut sql));
        assert!(!sql.as_str().contains("DROP"), "{}", sql.as_str());
    }
}

#[test]
fn a_prefix_has_an_end() {
    for (prefix, end) in
        [("a", Some("b")), ("a.", Some("a/")), ("a\u{10ffff}", Some("b")), ("\u{10ffff}", None)]
    {
        assert_eq!(after_prefix(prefix).as_deref(), end, "{prefix:?}");
    }
    assert_eq!(after_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
}

/// It stands in the column as the type alone of another would.
#[test]
fn a_related_resource_without_type_and_name_is_in_doubt() {
    let mut event = Event::new("a");
    event.related = vec![resource_of((None, Some(String::new()), None))];
    let (line, filter) = (line(&event, 255), Filter::from_pairs([("resource", "")], NOW).unwrap());
    let (row, narrowing) = (Row::of(&line), Narrowing::of(&filter));
    assert!(!filter.accepts(&line) && row.is_narrowed_to(&narrowing) && row.is_in_doubt(&narrowing));
}
