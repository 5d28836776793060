use proptest::prelude::*;

use super::*;
use crate::complete::complete;
use crate::line;

const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

fn recorded(event: &Event) -> (Vec<u8>, Recorded) {
    let mut bytes = Vec::new();
    line::write_front(7, &NOW.to_text(), &mut bytes);
    line::write_rest(event, &complete(event, NOW), &mut bytes).unwrap();
    let recorded = Event::from_line(&bytes).unwrap();
    (bytes, recorded)
}

fn check(pairs: &[(&str, &str)], expected: bool) {
    let mut event = Event::new("user.login")
        .id("id-1")
        .tenant("acme")
        .actor("u1")
        .actor_name("Ann")
        .resource("invoice", "2026/42")
        .related("customer", "c9")
        .outcome(Outcome::Denied)
        .severity(Severity::Warning)
        .category(Category::Authentication)
        .ip("203.0.113.9")
        .request_id("r1")
        .correlation_id("c1")
        .on_behalf_of("u2", "support")
        .description("Die Prüfung\nschlug fehl");
    event.context.session_id = Some("s\"1".into());
    event.context.trace_id = Some("t1".into());
    let (line, recorded) = recorded(&event);
    let mut filter = Filter::default();
    for (name, value) in pairs {
        filter.set(name, value, NOW).unwrap();
    }
    assert_eq!(filter.matches(&recorded) && filter.matches_text(&line), expected, "{pairs:?}");
    assert_eq!(filter.accept(&line).is_some(), expected, "the prefilter says no to a match: {pairs:?}");
    assert_eq!(filter.accepts(&line), expected, "{pairs:?}");
}

#[test]
fn each_filter_says_yes_and_no() {
    check(&[], true);
    for (name, yes, no) in [
        ("tenant", "acme", "acm"),
        ("actor", "u1", "u2"),
        ("actor", "Ann", "ann"),
        ("on_behalf_of", "u2", "u1"),
        ("action", "user.*", "user"),
        ("category", "authentication", "admin"),
        ("resource", "invoice", "inv"),
        ("resource", "invoice/2026/42", "invoice/2026"),
        ("resource", "customer/c9", "customer/c8"),
        ("outcome", "denied", "success"),
        ("severity", "warning", "info"),
        ("ip", "203.0.113.9", "203.0.113.90"),
        ("ip", "::ffff:203.0.113.9", "2001:db8::1"),
        ("ip", "203.0.113.9:443", "203.0.113"),
        ("request_id", "r1", "r"),
        ("correlation_id", "c1", "C1"),
        ("session_id", "s\"1", "s1"),
        ("trace_id", "t1", "t2"),
        ("since", "24h", "2027-01-01"),
        ("until", "2027-01-01", "1s"),
        ("text", "USER.LOG", "user.logout"),
        ("text", "PRÜFUNG\nschlug", "Prüfung schlug"),
        ("text", "s\"1", "s\\\"1"),
        ("text", "acme", "tenant"),
        ("text", "203.0.113", "recorded"),
        ("id", "id-1", "id-2"),
        ("id", "7", "8"),
        ("id", "id:id-1", "id:7"),
    ] {
        check(&[(name, yes)], true);
        check(&[(name, no)], false);
        check(&[(name, no), (name, yes)], true);
    }
    check(&[("tenant", "acme"), ("outcome", "success")], false);
    check(&[("outcome", "none")], false);
    check(&[("outcome", "none"), ("outcome", "denied")], true);
}

#[test]
fn an_event_that_names_no_outcome_is_found_by_none_alone() {
    // The word stands in the line all the same.
    let (line, _) = recorded(&Event::new("a").detail("success", "denied"));
    let accepts = |wanted: &str| {
        let filter = Filter::from_pairs([("outcome", wanted)], NOW).unwrap();
        filter.accepts(&line)
    };
    assert!(accepts("none") && accepts("NONE"));
    assert!(!accepts("success") && !accepts("denied") && !accepts("unknown"));
}

#[test]
fn the_trails_own_events_are_left_out_unless_asked_for() {
    let (_, mut event) = recorded(&Event::new("trail.opened").category(Category::System));
    assert!(Filter::default().matches(&event), "the category alone makes no event the trail's own");
    event.system = true;
    assert!(!Filter::default().matches(&event));
    assert!(Filter { system: true, ..Filter::default() }.matches(&event));
}

#[test]
fn what_is_not_understood_says_what_is_allowed() {
    let mut filter = Filter::default();
    for (name, value, wanted) in [
        ("tennant", "a", "there is no filter \"tennant\": use one of tenant, actor"),
        ("outcome", "good", "outcome cannot be \"good\": use success, failure"),
        ("since", "soon", "since cannot be \"soon\": use a time such as"),
        ("category", "cats", "category cannot be \"cats\": use authentication"),
    ] {
        let error = filter.set(name, value, NOW).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{error}");
    }
    assert_eq!(filter, Filter::default());
}

/// Globs by the definition, in exponential time.
fn naive_glob(glob: &[char], text: &[char]) -> bool {
    match (glob.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => (0..=text.len()).any(|skip| naive_glob(rest, &text[skip..])),
        (Some(('?', rest)), Some((_, after))) => naive_glob(rest, after),
        (Some((wanted, rest)), Some((found, after))) => wanted == found && naive_glob(rest, after),
        _ => false,
    }
}

proptest! {
    #[test]
    fn globs_agree_with_the_definition(glob in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(glob_matches(&glob, &text), naive_glob(&chars(&glob), &chars(&text)));
    }

    /// A value of any characters, found or not: the cheap look at the bytes never says no to a match.
    #[test]
    fn the_prefilter_never_says_no_to_a_match(
        tenant in "\\PC{0,6}|[\\x00-\\x7f]{0,4}", actor in "\\PC{0,6}", action in "[a-c.é\"]{1,6}", id in "\\PC{0,6}",
        wanted in "\\PC{0,6}", glob in "[a-c.*?é\"]{0,5}",
    ) {
        let event = Event::new(action).tenant(&*tenant).actor(actor).resource("t", id);
        let (line, recorded) = recorded(&event);
        for (name, value) in [("tenant", &tenant), ("tenant", &wanted), ("actor", &wanted), ("action", &glob)] {
            let mut filter = Filter::default();
            filter.set(name, value, NOW).unwrap();
            prop_assert!(!filter.matches(&recorded) || filter.may_match(&line), "{} {:?}", name, value);
        }
        let resource = format!("t/{wanted}");
        let mut filter = Filter::default();
        filter.set("resource", &resource, NOW).unwrap();
        prop_assert!(!filter.matches(&recorded) || filter.may_match(&line));
    }
}

/// What the filters mean, said once more over the line's JSON alone.
fn naive(line: &serde_json::Value, pairs: &[(&str, &str)]) -> bool {
    let is =
        |pointer: &str, value: &str| line.pointer(pointer).and_then(|found| found.as_str()) == Some(value);
    let holds = |name: &str, value: &str| match name {
        "outcome" if value == "none" => line.get("outcome").is_none(),
        "tenant" | "category" | "severity" | "outcome" => is(&format!("/{name}"), value),
        "actor" => is("/actor/id", value) || is("/actor/name", value),
        "on_behalf_of" => is("/on_behalf_of/id", value),
        "action" => {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            naive_glob(&chars(value), &chars(line["action"].as_str().unwrap()))
        }
        "resource" => {
            let related = line["related"].as_array().map_or(&[][..], Vec::as_slice);
            let slashes = value.match_indices('/').take(if value.starts_with('/') { 1 } else { usize::MAX });
            let mut readings: Vec<_> =
                slashes.map(|(at, _)| (&value[..at], Some(&value[at + 1..]))).collect();
            if !value.starts_with('/') {
                readings.push((value, None));
            }
            std::iter::once(&line["resource"]).chain(related).any(|resource| {
                readings.iter().any(|(kind, id)| match id {
                    Some(id) => {
                        resource["type"].as_str().unwrap_or_default() == *kind
                            && (resource["id"] == *id || resource["name"] == *id)
                    }
                    None => resource["type"] == *kind,
                })
            })
        }
        "id" => {
            value.parse().map_or_else(|_| is("/id", value.trim_start_matches("id:")), |index: u64| index == 7)
        }
        _ => is(&format!("/context/{name}"), value),
    };
    pairs.iter().all(|(name, _)| pairs.iter().any(|(other, value)| other == name && holds(other, value)))
}

fn word() -> impl Strategy<Value = String> {
    "[ab7\"é/]{0,2}"
}

prop_compose! {
    fn any_event()(
        texts in proptest::array::uniform10(word()), names in proptest::array::uniform4(proptest::option::of(word())),
        severity in 0..2usize, outcome in 0..3usize,
    ) -> Event {
        let [action, id, tenant, actor, other, kind, ip, request, correlation, related] = texts;
        let mut event = Event::new(format!("a{action}")).id(id).tenant(tenant).actor(actor)
            .resource(&*kind, kind.clone()).related(related.clone(), related).ip(ip)
            .request_id(request).correlation_id(correlation).on_behalf_of(other, "why")
            .severity([Severity::Info, Severity::Critical][severity]);
        event.outcome = [None, Some(Outcome::Success), Some(Outcome::Denied)][outcome];
        let [actor_name, session, trace, resource_name] = names;
        event.actor.as_mut().unwrap().name = actor_name;
        event.resource.as_mut().unwrap().name = resource_name;
        (event.context.session_id, event.context.trace_id) = (session, trace);
        event
    }
}

fn any_pair() -> impl Strategy<Value = (&'static str, String)> {
    const NAMES: [&str; 11] = [
        "tenant",
        "actor",
        "on_behalf_of",
        "action",
        "resource",
        "ip",
        "correlation_id",
        "request_id",
        "session_id",
        "trace_id",
        "id",
    ];
    prop_oneof![
        (proptest::sample::select(&NAMES[..]), word()),
        (Just("action"), "[ab?*]{1,3}"),
        (Just("severity"), prop_oneof![Just("info".to_owned()), Just("critical".to_owned())]),
        (
            Just("outcome"),
            prop_oneof![Just("success".to_owned()), Just("denied".to_owned()), Just("none".to_owned())]
        ),
    ]
}

proptest! {
    /// The predicate, with and without the look at the bytes first, agrees with the definition.
    #[test]
    fn the_predicate_agrees_with_the_definition(
        event in any_event(), pairs in proptest::collection::vec(any_pair(), 0..3),
    ) {
        let (line, recorded) = recorded(&event);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let filter = Filter::from_pairs(pairs.iter().copied(), NOW).unwrap();
        let wanted = naive(&serde_json::from_slice(&line).unwrap(), &pairs);
        prop_assert_eq!(filter.matches(&recorded), wanted);
        prop_assert_eq!(filter.accept(&line).is_some(), wanted);
    }

    /// Text is found where it was put, however it is written in the line.
    #[test]
    fn text_is_found_in_every_value(text in "\\PC{1,6}|[\\x00-\\x7f]{1,4}", noise in "[a-z]{0,3}") {
        let event = Event::new("a").description(format!("{noise}{text}{noise}"));
        let (line, _) = recorded(&event);
        for wanted in [text.clone(), text.to_ascii_uppercase()] {
            let filter = Filter { text: vec![wanted], ..Filter::default() };
            prop_assert!(filter.accept(&line).is_some());
        }
    }
}

#[test]
fn only_indexes_narrow_the_range() {
    for (ids, wanted) in [
        (&[][..], 0..u64::MAX),
        (&["7"], 7..8),
        (&["9", "3", "5"], 3..10),
        (&["9", "id:3"], 0..u64::MAX),
        (&["18446744073709551615"], u64::MAX..u64::MAX),
    ] {
        let filter = Filter::from_pairs(ids.iter().map(|id| ("id", *id)), NOW).unwrap();
        assert_eq!(filter.index_range(), wanted, "{ids:?}");
    }
}

#[test]
fn a_type_with_a_slash_is_found_and_so_is_an_id_without_a_type() {
    let machine = Event::new("a").resource("Microsoft.Compute/virtualMachines", "g/vm1");
    let mut untyped = Event::new("a");
    untyped.resource = Some(Resource { id: Some("vm/7".to_owned()), ..Resource::default() });
    let finds = |event: &Event, wanted: &str| {
        let (line, recorded) = recorded(event);
        let filter = Filter::from_pairs([("resource", wanted)], NOW).unwrap();
        assert_eq!(filter.matches(&recorded), filter.accepts(&line), "{wanted}");
        filter.accepts(&line)
    };
    for wanted in ["Microsoft.Compute/virtualMachines/g/vm1", "Microsoft.Compute/virtualMachines"] {
        assert!(finds(&machine, wanted), "{wanted}");
    }
    for wanted in ["Microsoft.Compute", "Microsoft.Compute/vm1", "virtualMachines/g/vm1", "/g/vm1"] {
        assert!(!finds(&machine, wanted), "{wanted}");
    }
    assert!(finds(&untyped, "/vm/7"));
    assert!(!finds(&untyped, "vm/7"));
    // As the path of a request has them apart.
    let apart =
        ResourceFilter { kind: "Microsoft.Compute/virtualMachines".to_owned(), id: Some("g/vm1".to_owned()) };
    let filter = Filter { resource: vec![apart], ..Filter::default() };
    assert!(filter.matches(&recorded(&machine).1));
}

#[test]
fn addresses_are_found_however_they_were_sent() {
    for (sent, wanted) in [
        (" 192.0.2.7:50332", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[2001:DB8:0::1]:443", "2001:db8::1"),
    ] {
        let (line, recorded) = recorded(&Event::new("a").ip(sent));
        assert_eq!(recorded.event.context.ip.as_deref(), Some(sent), "it stays as it was sent");
        let filter = Filter::from_pairs([("ip", wanted)], NOW).unwrap();
        assert!(filter.accepts(&line), "{sent}");
    }
}
