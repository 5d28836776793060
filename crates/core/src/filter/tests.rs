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
    assert!(!expected || filter.may_match(&line), "the prefilter says no to a match: {pairs:?}");
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
        ("request_id", "r1", "r"),
        ("correlation_id", "c1", "C1"),
        ("session_id", "s\"1", "s1"),
        ("trace_id", "t1", "t2"),
        ("since", "24h", "2027-01-01"),
        ("until", "2027-01-01", "1s"),
        ("text", "USER.LOG", "user.logout"),
        ("id", "id-1", "id-2"),
        ("id", "7", "8"),
        ("id", "id:id-1", "id:7"),
    ] {
        check(&[(name, yes)], true);
        check(&[(name, no)], false);
        // `text` wants all of its values, every other filter any of them.
        check(&[(name, no), (name, yes)], name != "text");
    }
    check(&[("tenant", "acme"), ("outcome", "success")], false);
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
