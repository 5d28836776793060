use proptest::prelude::*;

use super::super::tests::any_policy;
use super::super::{Facts, Keep, Sampler};
use super::*;
use crate::event::Event;

/// What is weaker in `to` than in `from`, in the order in which it is found.
#[track_caller]
fn check(from: &str, to: &str, wanted: &[&str]) {
    let read = |text: &str| Policy::from_toml(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let (from, to) = (read(from), read(to));
    let found: Vec<String> = from.weakened_by(&to).iter().map(|each| each.describe(&from, &to)).collect();
    assert_eq!(found, wanted);
}

#[test]
fn one_setting_for_all_events() {
    let all = |what: &str| format!("all other events: {what}");
    let (sync, async_, sampled, off) =
        ("mode = \"sync\"", "mode = \"async\"", "mode = \"sampled\"\nrate = 0.5", "mode = \"off\"");
    let modes = [("sync", sync), ("async", async_), ("sampled", sampled), ("off", off)];
    for (strict, (strict_name, from)) in modes.iter().enumerate() {
        for (loose, (loose_name, to)) in modes.iter().enumerate() {
            let what = all(&format!("mode {strict_name} becomes {loose_name}"));
            let wanted: &[&str] = if strict < loose { &[&what] } else { &[] };
            check(from, to, wanted);
        }
    }
    let more = "mode = \"sampled\"\nrate = 0.75";
    check(more, sampled, &[&all("rate 0.75 becomes 0.5")]);
    check(sampled, more, &[]);
    let (deny, allow) = ("on_failure = \"deny\"", "on_failure = \"allow\"");
    check(deny, allow, &[&all("on_failure deny becomes allow")]);
    check(allow, deny, &[]);
    // Nobody heard of a failure of what was not kept.
    check(off, allow, &[]);
    let store = "mode = \"sync\"\nacknowledge = \"store\"";
    check(store, sync, &[&all("acknowledge store becomes durable")]);
    check(sync, store, &[]);
    // With deny whoever waits too briefly hears an error.
    check("mode = \"sync\"", "mode = \"sync\"\ntimeout_ms = 1", &[]);
    let timed = |ms: u64| format!("mode = \"sync\"\non_failure = \"allow\"\ntimeout_ms = {ms}");
    check(&timed(50), &timed(1), &[&all("timeout_ms 50 becomes 1, and on_failure is allow")]);
    check(&timed(1), &timed(50), &[]);
    check("timeout_ms = 50", "timeout_ms = 1", &[]);
}

const LOGINS: &str = "[[rule]]\nwhen = { action = \"user.*\" }\nmode = \"sync\"\n";
const READS: &str = "[[rule]]\nwhen = { action = \"*.read\" }\nmode = \"sampled\"\nrate = 0.1\n";
const FLAGGED: &str = "[[rule]]\nwhen = { action = \"refund\" }\nreview = \"look\"\n";

#[test]
fn rules_that_come_go_and_change_places() {
    let rules = |all: &[&str]| all.concat();
    check(&rules(&[LOGINS, READS]), &rules(&[LOGINS, READS]), &[]);
    check("", LOGINS, &[]);
    check(
        LOGINS,
        "",
        &["rule 1 (when = { action = [\"user.*\"] }) → all other events: mode sync becomes async"],
    );
    check(
        "",
        READS,
        &["all other events → rule 1 (when = { action = [\"*.read\"] }): mode async becomes sampled"],
    );
    check(READS, "", &[]);
    // `user.read` is both.
    check(
        &rules(&[LOGINS, READS]),
        &rules(&[READS, LOGINS]),
        &[
            "rule 1 (when = { action = [\"user.*\"] }) → rule 1 (when = { action = [\"*.read\"] }): mode sync becomes \
             sampled",
        ],
    );
    check(&rules(&[READS, LOGINS]), &rules(&[LOGINS, READS]), &[]);
    let other = "[[rule]]\nwhen = { action = \"order.*\" }\nmode = \"sync\"\n";
    check(&rules(&[LOGINS, other]), &rules(&[other, LOGINS]), &[]);
    // Another rule takes all of its events first, so what it says does not matter.
    let hidden = "[[rule]]\nwhen = { action = \"user.login\" }\nmode = \"off\"\n";
    check(&rules(&[LOGINS]), &rules(&[LOGINS, hidden]), &[]);
    check(
        &rules(&[LOGINS]),
        &rules(&[hidden, LOGINS]),
        &[
            "rule 1 (when = { action = [\"user.*\"] }) → rule 1 (when = { action = [\"user.login\"] }): mode sync \
             becomes off",
        ],
    );
    check(&rules(&[LOGINS]), "mode = \"sync\"", &[]);
}

#[test]
fn a_rule_that_is_about_less() {
    let sync = |when: &str| format!("[[rule]]\nwhen = {{ {when} }}\nmode = \"sync\"\n");
    for (wide, narrow) in [
        ("", "tenant = \"acme\""),
        ("tenant = [\"acme\", \"globex\"]", "tenant = \"acme\""),
        ("tenant = \"acme\"", "tenant = \"acme\", outcome = \"denied\""),
        ("severity = [\"error\", \"critical\"]", "severity = \"critical\""),
        ("category = [\"admin\", \"step\"]", "category = \"step\""),
        ("action = \"user.*\"", "action = \"user.login\""),
        ("action = \"user.*\"", "action = \"user.login*\""),
        ("action = \"*.read\"", "action = \"*.doc.read\""),
        ("actor = [\"a\", \"b\"]", "actor = [\"b\"]"),
    ] {
        let (wide, narrow) =
            (Policy::from_toml(&sync(wide)).unwrap(), Policy::from_toml(&sync(narrow)).unwrap());
        assert!(narrow.weakened_by(&wide).is_empty(), "{}", narrow.to_toml());
        let found = wide.weakened_by(&narrow);
        assert_eq!(found.len(), 1, "{}", narrow.to_toml());
        assert_eq!((found[0].from, found[0].to), (Some(0), None));
    }
}

#[test]
fn reviews_and_protection() {
    let rule = "rule 1 (when = { action = [\"refund\"] })";
    check("", FLAGGED, &[]);
    check(FLAGGED, "", &[&format!("{rule} → all other events: no review is requested any more")]);
    check(FLAGGED, &FLAGGED.replace("look", "see"), &[]);
    check(
        FLAGGED,
        &FLAGGED.replace("review = \"look\"", ""),
        &[&format!("{rule}: no review is requested any more")],
    );
    let sampled = |when: &str| format!("[[rule]]\nwhen = {{ {when} }}\nmode = \"sampled\"\nrate = 0.5\n");
    check(
        &sampled(""),
        &sampled("outcome = [\"success\", \"failure\"]"),
        &[
            "rule 1 (when = {}) → rule 1 (when = { outcome = [\"success\", \"failure\"] }): failures, warnings or \
             security events could be sampled out",
        ],
    );
    check(&sampled(""), &sampled("tenant = \"acme\""), &[]);
}

#[test]
fn the_list_has_an_end() {
    let rules = |mode: &str| -> String {
        (0..300).map(|n| format!("[[rule]]\nwhen = {{ action = \"a{n}\" }}\nmode = \"{mode}\"\n")).collect()
    };
    let (from, to) = (Policy::from_toml(&rules("sync")).unwrap(), Policy::from_toml(&rules("off")).unwrap());
    assert_eq!(from.weakened_by(&to).len(), WEAKENINGS_MAX);
}

proptest! {
    #[test]
    fn nothing_weakens_itself(policy in any_policy()) {
        prop_assert_eq!(policy.weakened_by(&policy), []);
    }

    /// Whatever happens to an event: if it is treated less strictly, that was told.
    #[test]
    fn no_weakening_is_missed(from in few_rules(), to in few_rules(), event in any_event()) {
        let sampler = Sampler::new([7; 16]);
        let facts = Facts::of(&event);
        let (before, after) = (from.decide(&facts, &sampler), to.decide(&facts, &sampler));
        let lost = before.keep == Keep::Kept && after.keep != Keep::Kept;
        let level = |then: &Treatment| (strictness(then.mode), then.on_failure == OnFailure::Deny);
        let weaker = before.keep != Keep::Off && after.keep == Keep::Kept && {
            let ((mode, deny), (new_mode, new_deny)) = (level(before.then), level(after.then));
            new_mode < mode || (deny && !new_deny) || (before.review.is_some() && after.review.is_none())
        };
        prop_assert!(
            !(lost || weaker) || !from.weakened_by(&to).is_empty(),
            "{:?}\n{}\n---\n{}", event, from.to_toml(), to.to_toml()
        );
    }
}

/// Policies over so few values that their rules meet.
fn few_rules() -> impl Strategy<Value = Policy> {
    let treatment = (0..4usize, 0..3usize, any::<bool>()).prop_map(|(mode, rate, allow)| {
        let mode = [Mode::Sync, Mode::Async, Mode::Sampled, Mode::Off][mode];
        let rate = if mode == Mode::Sampled { [0.0, 0.5, 1.0][rate] } else { 1.0 };
        let on_failure = if allow { OnFailure::Allow } else { OnFailure::Deny };
        Treatment { mode, rate, on_failure, ..Treatment::default() }
    });
    let globs = prop::sample::subsequence(vec!["*", "a*", "*b", "ab", "a?", "b", "*a*"], 0..3);
    let tenants = prop::sample::subsequence(vec!["t", "u"], 0..2);
    let outcomes = prop::sample::subsequence(vec![Outcome::Success, Outcome::Failure], 0..3);
    let when = (globs, tenants, outcomes).prop_map(|(action, tenant, outcome)| {
        let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
        When { action: owned(action), tenant: owned(tenant), outcome, ..When::default() }
    });
    let rule = (when, treatment.clone(), any::<bool>()).prop_map(|(when, then, review)| super::super::Rule {
        when,
        then,
        review: (review && then.mode != Mode::Off).then(|| "look".to_owned()),
    });
    (treatment, prop::collection::vec(rule, 0..4)).prop_map(|(otherwise, rules)| Policy {
        otherwise,
        rules,
        ..Policy::default()
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let action = prop::sample::select(vec!["a", "b", "ab", "aa", "bab", "c"]);
    let tenant = prop::option::of(prop::sample::select(vec!["t", "u", "v"]));
    let outcome = prop::sample::select(vec![Outcome::Success, Outcome::Failure]);
    (action, tenant, outcome, "[a-z]{2}").prop_map(|(action, tenant, outcome, id)| {
        let mut event = Event::new(action).outcome(outcome);
        event.tenant = tenant.map(str::to_owned);
        event.context.correlation_id = Some(id);
        event
    })
}
