use proptest::prelude::*;

use super::*;
use crate::event::{Category, Event, Outcome, Severity};

const POLICY: &str = r#"
mode = "async"
timeout_ms = 500

[[rule]]
when = { category = ["authentication", "authorization", "secret_access", "config_change"] }
mode = "sync"
timeout_ms = 2000
on_failure = "deny"

[[rule]]
when = { tenant = "acme", action = ["invoice.*", "*.approve"], outcome = "success" }
mode = "sync"
acknowledge = "store"
on_failure = "allow"

[[rule]]
when = { action = "*.read" }
mode = "sampled"
rate = 0

[[rule]]
when = { action = "health.check", outcome = ["success", "failure"], severity = ["info", "warning"] }
mode = "sampled"
rate = 0.0

[[rule]]
when = { actor = "robot", severity = "debug" }
mode = "off"
"#;

fn sampler() -> Sampler {
    Sampler::new(*b"a secret of ours")
}

/// Rule, mode, and whether it is kept.
fn check(event: &Event, expected: (Option<usize>, Mode, Keep)) {
    let policy = Policy::from_toml(POLICY).unwrap();
    let decision = policy.decide(&Facts::of(event), &sampler());
    assert_eq!((decision.rule, decision.then.mode, decision.keep), expected, "{event:?}");
}

#[test]
fn the_first_rule_that_matches_wins() {
    let event = |action: &str| Event::new(action);
    check(&event("page.view"), (None, Mode::Async, Keep::Kept));
    check(&event("user.login").category(Category::Authentication), (Some(0), Mode::Sync, Keep::Kept));
    check(&event("user.read").category(Category::ConfigChange), (Some(0), Mode::Sync, Keep::Kept));
    check(&event("invoice.pay").tenant("acme"), (Some(1), Mode::Sync, Keep::Kept));
    check(&event("order.approve").tenant("acme"), (Some(1), Mode::Sync, Keep::Kept));
    check(&event("order.approve").tenant("other"), (None, Mode::Async, Keep::Kept));
    check(&event("order.approve"), (None, Mode::Async, Keep::Kept));
    check(&event("invoice.pay").tenant("acme").outcome(Outcome::Denied), (None, Mode::Async, Keep::Kept));
    check(&event("doc.read"), (Some(2), Mode::Sampled, Keep::SampledOut));
    check(&event("beat").actor("robot").severity(Severity::Debug), (Some(4), Mode::Off, Keep::Off));
    check(&event("beat").actor("robot"), (None, Mode::Async, Keep::Kept));
}

#[test]
fn what_matters_is_only_sampled_out_where_a_rule_names_it() {
    let read = || Event::new("doc.read");
    for outcome in [Outcome::Failure, Outcome::Denied, Outcome::Unknown] {
        check(&read().outcome(outcome), (Some(2), Mode::Sampled, Keep::Kept));
    }
    for severity in [Severity::Warning, Severity::Error, Severity::Critical] {
        check(&read().severity(severity), (Some(2), Mode::Sampled, Keep::Kept));
    }
    check(
        &read().outcome(Outcome::Partial).severity(Severity::Notice),
        (Some(2), Mode::Sampled, Keep::SampledOut),
    );
    let health = || Event::new("health.check");
    check(&health().outcome(Outcome::Failure), (Some(3), Mode::Sampled, Keep::SampledOut));
    check(&health().severity(Severity::Warning), (Some(3), Mode::Sampled, Keep::SampledOut));
    check(&health().outcome(Outcome::Denied), (None, Mode::Async, Keep::Kept));

    let by_category = "[[rule]]\nwhen = { category = \"authentication\" }\nmode = \"sampled\"\nrate = 0";
    let everything = "mode = \"sampled\"\nrate = 0";
    let login = Event::new("user.login").category(Category::Authentication);
    for (text, keep) in [(by_category, Keep::SampledOut), (everything, Keep::Kept)] {
        let policy = Policy::from_toml(text).unwrap();
        assert_eq!(policy.decide(&Facts::of(&login), &sampler()).keep, keep, "{text}");
        // The rule names the category, not the failure.
        let failed = login.clone().outcome(Outcome::Failure);
        assert_eq!(policy.decide(&Facts::of(&failed), &sampler()).keep, Keep::Kept, "{text}");
    }
}

#[test]
fn treatments_are_read_whole() {
    let policy = Policy::from_toml(POLICY).unwrap();
    assert_eq!(policy.otherwise.timeout, Duration::from_millis(500));
    let store = policy.rules[1].then;
    assert_eq!((store.acknowledge, store.on_failure), (Acknowledge::Store, OnFailure::Allow));
    assert_eq!(policy.rules[0].then.timeout, Duration::from_secs(2));
    assert_eq!(policy.rules[2].then.timeout, Treatment::default().timeout, "rules inherit nothing");
}

#[test]
fn errors_name_the_place_and_what_to_write() {
    for (text, wanted) in [
        ("mode = \"fast\"", "1:8: `mode` cannot be \"fast\": use sync, async, sampled or off"),
        ("moode = \"sync\"", "1:1: there is no setting `moode`: did you mean `mode`?"),
        ("speed = 1", "1:1: there is no setting `speed`: use one of mode, rate, timeout_ms"),
        ("mode = \"sampled\"", "1:8: mode sampled needs a `rate`"),
        ("rate = 0.5", "1:8: a `rate` needs mode = \"sampled\""),
        ("mode = \"sampled\"\nrate = 1.5", "2:8: `rate` cannot be 1.5: use a number from 0 to 1"),
        ("timeout_ms = -1", "1:14: `timeout_ms` cannot be -1"),
        ("timeout_ms = \"2s\"", "1:14: `timeout_ms` cannot be \"2s\""),
        ("acknowledge = \"store\"", "1:15: acknowledge = \"store\" needs mode = \"sync\""),
        ("rule = 3", "1:8: rules are tables: write [[rule]]"),
        ("[[rule]]\nmode = \"off\"", "1:1: the rule has no `when`"),
        (
            "[[rule]]\nwhen = { acton = \"x\" }",
            "2:10: there is no setting `when.acton`: did you mean `when.action`?",
        ),
        (
            "[[rule]]\nwhen = { colour = \"x\" }",
            "2:10: there is no setting `when.colour`: use one of category",
        ),
        ("[[rule]]\nreviev = \"x\"", "2:1: there is no setting `rule.reviev`: did you mean `rule.review`?"),
        (
            "[[personal]]\nfeild = \"x\"",
            "2:1: there is no setting `personal.feild`: did you mean `personal.field`?",
        ),
        ("[[rule]]\nwhen = { action = [] }", "2:19: the list is empty"),
        ("[[rule]]\nwhen = { action = \"\" }", "2:19: it cannot be \"\": use an action such as"),
        ("[[rule]]\nwhen = { outcome = [\"success\", \"bad\"] }", "2:32: it cannot be \"bad\": use success"),
        ("[[rule]]\nwhen = { severity = 3 }", "2:21: it must be a string, not integer"),
        ("[[rule]]\nwhen = {}\nmod = \"off\"", "3:1: there is no setting `rule.mod`"),
        ("[[rule]]\nwhen = {}\nreview = \"  \"", "3:10: `review` cannot be \"  \": use a reason"),
        ("[[rule]]\nwhen = {}\nreview = true", "3:10: `review` cannot be of type boolean: use a reason"),
        ("[[rule]]\nwhen = {}\nmode = \"off\"\nreview = \"x\"", "4:10: mode off keeps nothing"),
        ("[personal]\nfield = \"a\"", "1:1: personal fields are in tables"),
        ("[[personal]]\nsubject = \"actor.id\"", "1:1: the rule has no `field`"),
        ("[[personal]]\nfield = \"actor.name\"", "1:1: the rule has no `subject`"),
        ("[[personal]]\nfield = \"tenant\"\nsubject = \"actor.id\"", "2:9: tenant cannot be personal"),
        ("[[personal]]\nfield = \"actor.id\"\nsubject = \"actor.id\"", "2:9: actor.id covers actor.id"),
        ("[[personal]]\nfield = \"a.b\"\nsubject = \"a.*\"", "1:1: the subject a.* has more `*`"),
        ("[[personal]]\npreset = \"all\"", "2:10: `preset` cannot be \"all\": use usual"),
        ("[[personal]]\nfeild = \"a\"", "2:1: there is no setting `personal.feild`"),
        ("[[personal]]\nsearchable = 1", "2:14: `searchable` cannot be 1: use true or false"),
        ("review = \"x\"", "1:1: there is no setting `review`"),
        ("mode = ", "1:"),
    ] {
        let error = Policy::from_toml(text).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{text}: {error}");
    }
    let settings = "dir = \"x\"\nmode = \"sync\"\n[handoff]\nsize = \"1MiB\"\n";
    assert_eq!(Policy::from_rules(settings).unwrap(), []);
    assert_eq!(Policy::from_rules(&format!("dir = \"x\"\n{POLICY}")).unwrap().len(), 5);
    assert!(Policy::from_toml(settings).is_err());
}

pub(super) fn any_policy() -> impl Strategy<Value = Policy> {
    let treatment = (0..4usize, 0.0..=1.0f64, 0..10_000u64, any::<bool>(), any::<bool>()).prop_map(
        |(mode, rate, timeout, allow, store)| {
            let mode = [Mode::Sync, Mode::Async, Mode::Sampled, Mode::Off][mode];
            Treatment {
                mode,
                rate: if mode == Mode::Sampled { rate } else { 1.0 },
                timeout: Duration::from_millis(timeout),
                on_failure: if allow { OnFailure::Allow } else { OnFailure::Deny },
                acknowledge: if store && mode == Mode::Sync {
                    Acknowledge::Store
                } else {
                    Acknowledge::Durable
                },
            }
        },
    );
    let texts = || prop::collection::vec("[^\\x00]{1,8}", 0..3);
    let when = (texts(), texts(), texts(), 0..6usize, 0..5usize, "[a-z]{1,5}").prop_map(
        |(action, tenant, actor, severity, outcome, custom)| When {
            category: vec![Category::parse(&format!("custom:{custom}")).unwrap(), Category::Admin],
            action,
            tenant,
            actor,
            severity: [Severity::Debug, Severity::Info, Severity::Notice, Severity::Warning, Severity::Error]
                [..severity.min(5)]
                .to_vec(),
            outcome: [
                Outcome::Success,
                Outcome::Failure,
                Outcome::Denied,
                Outcome::Partial,
                Outcome::Unknown,
            ][..outcome]
                .to_vec(),
        },
    );
    let review = prop::option::of("[!-~][^\\x00]{0,40}[!-~]");
    let rule = (when, treatment.clone(), review).prop_map(|(when, then, review)| Rule {
        when,
        then,
        review: review.filter(|_| then.mode != Mode::Off),
    });
    (treatment, prop::collection::vec(rule, 0..5)).prop_map(|(otherwise, rules)| Policy {
        otherwise,
        rules,
        ..Policy::default()
    })
}

#[test]
fn personal_fields_come_back_from_their_text() {
    let text = r#"
        mode = "async"
        [[personal]]
        preset = "usual"
        [[personal]]
        field = "related.*.id"
        subject = "related.*.id"
        searchable = true
    "#;
    let policy = Policy::from_toml(text).unwrap();
    assert_eq!(policy.personal.len(), 2);
    assert_eq!(policy.personal[0].subject, "actor.id");
    assert!(policy.personal[0].fields.contains(&"actor.email".to_owned()));
    assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy.clone()));
    assert_eq!(Policy::personal_rules(&format!("dir = \"x\"\n{text}")).unwrap(), policy.personal);
    assert_eq!(Policy::personal_rules("dir = \"x\"").unwrap(), []);
    let many: Vec<String> = (0..129).map(|number| format!("\"details.f{number}\"")).collect();
    let error = Policy::from_toml(&format!("[[personal]]\nfields = [{}]\nsubject = \"a\"", many.join(",")));
    assert!(error.unwrap_err().to_string().contains("more than 128 personal fields"));
}

#[test]
fn sealing_less_weakens_a_policy() {
    let policy = |rules: &str| Policy::from_toml(rules).unwrap();
    let rule =
        |field: &str, more: &str| format!("[[personal]]\nfield = {field}\nsubject = \"actor.id\"\n{more}");
    let before = policy(&rule("[\"actor.name\", \"actor.email\"]", ""));
    let more =
        policy(&format!("{}{}", rule("\"actor.email\"", ""), rule("[\"actor.name\", \"context.ip\"]", "")));
    assert!(before.weakened_by(&before).is_empty() && before.weakened_by(&more).is_empty());
    assert!(policy("").weakened_by(&before).is_empty());
    for weaker in [
        "".to_owned(),
        rule("\"actor.name\"", ""),
        rule("[\"actor.name\", \"actor.email\"]", "searchable = true"),
        rule("[\"actor.name\", \"actor.email\"]", "").replace("actor.id", "on_behalf_of.id"),
    ] {
        let (found, weaker) = (before.weakened_by(&policy(&weaker)), policy(&weaker));
        let told: Vec<String> = found.iter().map(|found| found.describe(&before, &weaker)).collect();
        assert_eq!(told, ["personal fields are not sealed as before: actor.name, actor.email"]);
    }
}

proptest! {
    #[test]
    fn a_policy_comes_back_from_its_text(policy in any_policy()) {
        prop_assert_eq!(Policy::from_toml(&policy.to_toml()), Ok(policy));
    }

    #[test]
    fn no_text_is_too_odd(text in "\\PC{0,200}") {
        let _ = Policy::from_toml(&text);
    }

    #[test]
    fn what_is_kept_at_a_rate_is_kept_at_every_higher_one(id in "\\PC{0,30}", low in 0.0..=1.0f64, more in 0.0..=1.0f64) {
        let (sampler, high) = (sampler(), low + (1.0 - low) * more);
        prop_assert!(!sampler.keeps(Some(&id), low) || sampler.keeps(Some(&id), high));
        prop_assert!(sampler.keeps(Some(&id), 1.0) && !sampler.keeps(Some(&id), 0.0));
        prop_assert!(sampler.keeps(None, 1.0) && !sampler.keeps(None, 0.0));
    }
}

#[test]
fn a_share_is_kept_and_a_request_as_a_whole() {
    let sampler = sampler();
    let ids: Vec<String> = (0..20_000).map(|number| format!("request-{number}")).collect();
    let kept =
        |sampler: &Sampler| -> Vec<bool> { ids.iter().map(|id| sampler.keeps(Some(id), 0.1)).collect() };
    let first = kept(&sampler);
    assert_eq!(first, kept(&sampler), "events of one request are kept or left out together");
    let count = first.iter().filter(|kept| **kept).count();
    assert!((1_800..2_200).contains(&count), "{count} of 20,000 at a rate of 0.1");
    let alone = (0..20_000).filter(|_| sampler.keeps(None, 0.1)).count();
    assert!((1_800..2_200).contains(&alone), "{alone} of 20,000 without a correlation id");
}

#[test]
fn a_client_that_chooses_its_ids_cannot_choose_its_sampling() {
    // What a client could learn elsewhere, with the same code and another secret, says nothing here.
    let (ours, elsewhere) = (sampler(), Sampler::new(*b"another  secret!"));
    let chosen: Vec<String> = (0..40_000)
        .map(|number| format!("id-{number}"))
        .filter(|id| !elsewhere.keeps(Some(id), 0.5))
        .collect();
    assert!(chosen.len() > 15_000);
    let kept = chosen.iter().filter(|id| ours.keeps(Some(id), 0.5)).count();
    let share = kept as f64 / chosen.len() as f64;
    assert!(
        (0.48..0.52).contains(&share),
        "{share} of the ids that another installation leaves out are kept"
    );
}

#[test]
fn a_rate_or_level_without_a_mode_is_named_at_its_own_place() {
    for (text, place) in [("\n\nrate = 0.5\n", "3:8"), ("\nacknowledge = \"store\"\n", "2:15")] {
        let error = Policy::from_toml(text).unwrap_err().to_string();
        assert!(error.starts_with(place), "{error}");
    }
}
