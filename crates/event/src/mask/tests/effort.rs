//! How many steps a hostile text takes: of every rule its trigger, repeated, alone and mixed with all others.

use proptest::prelude::*;

use super::{line_of, masker};
use crate::counted_steps;
use crate::event::{Event, Object, Value};
use crate::line;
use crate::mask::texts::anchors::{FLAG, SHORT_FLAG};
use crate::mask::texts::token_prefixes::{KEY_ENDS, RULES};
use crate::mask::{MaskOptions, Masker};
use crate::timestamp::Timestamp;

/// The most steps for each byte of a text; for some forms it is looked at five times.
const STEPS_MAX: u64 = 400;
/// The most steps of twice the text, for one of the text alone, in hundredths.
const GROWTH_MAX: u64 = 300;
const STEPS_FEW: u64 = 100;
const TEXT_BYTES: usize = 4_000;

/// What makes some rule look closer.
pub(super) fn triggers() -> Vec<String> {
    let mut all: Vec<String> = RULES.iter().map(|rule| rule.literal.to_owned()).collect();
    for key in ["password", "authorization", "passphrase", "credentials", "Has_token"] {
        let forms = [
            "=",
            "= ",
            ": ",
            ":",
            " '",
            "='",
            "=\"",
            "=N'",
            "={",
            "=${",
            "=$(",
            "={{",
            "=<",
            "=crypt('",
            "\t",
            "\":\"",
            "\":{\"",
            "\":[",
            "\\\":\\\"",
            "=arn:aws:::::",
            "=none ",
            ": x ",
            "=***",
            "(\"",
            "=<<                ",
            ": |                ",
            "=\'\'\'",
            ": !!a ",
        ];
        all.extend(forms.map(|form| format!("{key}{form}")));
        all.extend([format!("?{key}="), format!("&{key}=x"), format!("<{key}>"), format!("<{key}>none ")]);
        all.extend([
            format!("--{key} "),
            format!("--{key} none "),
            format!("\"{key}="),
            format!("map[{key}:"),
        ]);
        all.push(format!("/{key}:"));
    }
    all.extend(
        [
            "://a:b@",
            "\"://a:b/://a:b/",
            "://a:b/",
            "://a:b",
            "a://:",
            "://@/",
            "eyJa-",
            "eyJhbGciOi",
            "sk.eyJaaaaaaaa.",
            "mysql -p",
            "curl -u a:",
            " -p",
            "curl --user ",
            "4242 ",
            "42424242424242",
            "-----BEGIN PRIVATE KEY",
            "\\",
            "\"",
            "{\"",
            "[[",
            "identified by password ",
            "bearer ",
            "basic YTpi",
            "map[",
            "\n",
            "@",
            "::",
            "-us1",
            "eyJhbGciOiJIUzI1NiJ9.",
            "eyJhbGciOiJIUzI1NiJ9-",
            "{\"a\":\"{\\\"a\\\":",
        ]
        .map(str::to_owned),
    );
    all
}

/// The steps of both questions and of the answer.
fn steps_of(masker: &Masker, text: &str) -> u64 {
    let line = line_of(text);
    counted_steps::of(|| {
        masker.text_has(&line);
        masker.masked_text(text, true, 0);
    })
}

/// What takes its square, or looks too often at each byte.
fn excess(masker: &Masker, part: &str, end: &str) -> Option<String> {
    let text = |bytes: usize| format!("{}{end}", part.repeat((bytes / part.len()).max(1)));
    let steps = |text: &str| steps_of(masker, text) + 20 * text.len() as u64;
    let growth = |one: &str, two: &str| match two.len() > one.len() * 3 / 2 {
        true => 100 * steps(two) / steps(one),
        false => 0,
    };
    let (one, two, four) = (text(TEXT_BYTES), text(2 * TEXT_BYTES), text(4 * TEXT_BYTES));
    let for_each = steps(&two) / two.len() as u64;
    // Few steps for each byte may grow, until what was walked over is too much. That limit may lie between two lengths;
    // what takes its square grows at the next one, too.
    let grows = for_each > STEPS_FEW && growth(&one, &two) > GROWTH_MAX && growth(&two, &four) > GROWTH_MAX;
    (grows || for_each > STEPS_MAX).then(|| {
        let growth = growth(&one, &two);
        format!("{part:?} and {end:?}: {for_each} steps for each byte, {growth} % for twice the text")
    })
}

fn check(masker: &Masker, part: &str, end: &str) {
    assert_eq!(excess(masker, part, end), None);
}

#[test]
fn no_rule_takes_more_steps_where_its_trigger_is_repeated() {
    let masker = masker();
    for trigger in triggers() {
        for filler in ["", "-", "aA1b2C3d4"] {
            check(&masker, &format!("{trigger}{filler}"), "");
        }
    }
}

#[test]
fn what_is_closed_at_the_end_of_the_text_alone_takes_no_more() {
    let masker = masker();
    for trigger in triggers() {
        for end in ["\"}", "')", "@h.example/</password>"] {
            check(&masker, &trigger, end);
        }
    }
}

#[test]
fn a_limit_that_lies_between_two_lengths_is_no_square() {
    check(&masker(), &format!("{}crypt('", "shpat_".repeat(8)), "");
}

#[test]
fn every_trigger_is_one_that_a_rule_knows() {
    let finder = crate::mask::texts::anchors::Finder::get();
    assert!(finder.rules_at(b"--p").contains(&FLAG) && finder.rules_at(b" -p").contains(&SHORT_FLAG));
    for [before, last] in KEY_ENDS {
        assert!(!finder.rules_at(&[*before, *last, b'=']).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn mixed_triggers_take_no_more(
        parts in proptest::collection::vec((0..10_000_usize, 1..12_usize), 1..5),
        end in "[}'\")>@ \n.a1]{0,3}",
    ) {
        let triggers = triggers();
        let period: String =
            parts.iter().map(|(number, times)| triggers[number % triggers.len()].repeat(*times)).collect();
        prop_assert_eq!(excess(&masker(), &period, &end), None);
    }
}

#[test]
fn a_users_pattern_takes_no_look_at_the_rest_for_each_match_beyond_a_number() {
    // Each match is known only at the end of the text.
    let options =
        MaskOptions { patterns: vec!["[a-z]*X|[a-z]".into(), "[0-9]+".into()], ..MaskOptions::default() };
    let masker = Masker::new(&options).unwrap();
    let text = "a".repeat(20_000);
    let steps = counted_steps::of(|| {
        let masked = masker.masked_text(&text, true, 0).unwrap();
        assert!(!masked.contains('a') && masker.masked_text(&masked, true, 0).is_none());
    });
    assert!(steps <= 4 * text.len() as u64, "{steps} steps");
    let numbers: String = (0..600).map(|number| format!("n{number},")).collect();
    let masked = masker.masked_text(&numbers, true, 0).unwrap();
    assert!(!masked.contains(|character: char| character.is_ascii_digit()), "{masked}");
}

#[test]
fn members_that_name_others_take_no_look_at_the_whole_event() {
    let masker = masker();
    let json = |count: usize| {
        let members = vec![r#"{"name":"pin"}"#; count].join(",");
        format!(r#"{{"action":"a","details":{{"list":[{members}]}}}}"#)
    };
    let steps = |count: usize| {
        let json = json(count);
        counted_steps::of(|| {
            let mut rest = Vec::new();
            if line::rewrite_clean(&masker, json.as_bytes(), Timestamp::from_micros(0), &mut rest).is_none() {
                masker.mask(&mut Event::from_json(json.as_bytes()).unwrap());
            }
        })
    };
    let (few, many) = (steps(500), steps(2_000));
    assert!(many <= 5 * few, "{few} steps for 500 objects, {many} for 2,000");
}

#[test]
fn keys_that_are_secrets_get_their_names_in_few_steps() {
    let members = |count: usize| -> Event {
        let mut event = Event::new("a");
        event.details =
            (0..count).map(|number| (format!("redis://:pw{number}@h"), Value::Null)).collect::<Object>();
        event
    };
    let masker = masker();
    let steps = |count: usize| counted_steps::of(|| _ = masker.mask(&mut members(count)));
    let (few, many) = (steps(500), steps(2_000));
    assert!(many <= 5 * few, "{few} steps for 500 keys, {many} for 2,000");
    let mut event = members(2_000);
    masker.mask(&mut event);
    assert_eq!(event.details.len(), 2_000);
}
