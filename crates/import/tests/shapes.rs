//! Whatever the arrangement, a record is found with what it says; an input that is not understood is doubted.
#![allow(clippy::expect_used, reason = "a test says what it needs by failing")]

use std::io::BufRead;
use std::ops::ControlFlow;

use trailseal_event::Event;
use trailseal_import::{Mapping, Reading, Records, SAMPLES, Sample, read, read_in_order};

const OWN: &str =
    "format = 'own'\n[event]\naction = ['do', 'message.do']\ntime = ['at', 'time']\n\"actor.id\" = 'who'";

fn own() -> Mapping {
    Mapping::parse(OWN).expect("a good mapping")
}

/// Action, actor and time of each event.
fn events(input: &str) -> Vec<String> {
    let text = |event: Event| {
        let actor = event.actor.and_then(|actor| actor.id).unwrap_or_default();
        let time = event.time.map(|time| time.to_string()).unwrap_or_default();
        format!("{} {actor} {time}", event.action)
    };
    read(input.as_bytes(), &own()).map(|imported| text(imported.expect("a record").event)).collect()
}

#[test]
fn every_form_of_record_gives_the_same_event() {
    let expected = ["buy chen 2024-01-15T10:30:00.000000Z"];
    let time = "2024-01-15T10:30:00Z";
    let json = format!(r#"{{"do":"buy","who":"chen","at":"{time}"}}"#);
    assert_eq!(events(&json), expected);
    assert_eq!(events(&format!("[{json}]")), expected);
    assert_eq!(events(&format!("{{\"meta\":1,\"records\":[{json}]}}")), expected);
    assert_eq!(events(&json.replace(',', ",\n ")), expected);
    assert_eq!(events(&format!("do,who,at\nbuy,chen,{time}\n")), expected);
    assert_eq!(events(&format!("do=buy who=chen at={time}\n")), expected);
    assert_eq!(events(&format!("<13>1 {time} host app - - - {json}\n")), expected);
}

#[test]
fn objects_with_records_are_opened_on_later_lines_too() {
    let record = r#"{"do":"buy"}"#;
    let input = format!("{record}\n{{\"items\":[{record},{record}]}}\n");
    let found: Vec<_> = read(input.as_bytes(), &own()).flatten().collect();
    assert_eq!(found.iter().map(|imported| imported.line).collect::<Vec<_>>(), [1, 2, 2]);
    assert!(found.iter().all(|imported| imported.event.action == "buy"));
}

/// As from a pipe: what comes next is not there yet when the first line is read.
#[test]
fn it_stays_whole_however_little_is_read_at_once() {
    let input = "{\"who\":\"mallory\",\"results\":[{\"k\":1}]}\n{\"do\":\"buy\"}\n";
    let first = input.find('\n').expect("two lines") + 1;
    let reader =
        std::io::BufReader::new(std::io::Read::chain(&input.as_bytes()[..first], &input.as_bytes()[first..]));
    let mapping = own();
    let found: Vec<_> = read(reader, &mapping).flatten().map(|imported| imported.event).collect();
    assert!(found.len() == 2 && found.iter().any(|event| event.actor.is_some()), "{found:?}");
}

/// Only the list would be left of them.
#[test]
fn a_record_with_a_list_of_something_else_stays_whole() {
    let record = r#"{"do":"buy"}"#;
    let odd = r#"{"who":"mallory","results":[{"k":1}],"note":"kept"}"#;
    for input in [format!("{record}\n{odd}\n"), format!("{odd}\n{record}\n"), format!("[{record},{odd}]")] {
        let found: Vec<_> = read(input.as_bytes(), &own()).flatten().map(|imported| imported.event).collect();
        assert_eq!(found.len(), 2, "{input}");
        let odd = found.iter().find(|event| event.action != "buy").expect("the record without an action");
        assert_eq!(odd.actor.as_ref().and_then(|actor| actor.id.as_deref()), Some("mallory"), "{input}");
        let whole = odd.details.get("record").expect("the whole record").to_string();
        assert!(whole.contains("kept") && whole.contains("results"), "{whole}");
    }
}

#[test]
fn several_threads_keep_the_order_and_the_ids() {
    for (format, _, bytes) in SAMPLES {
        let mapping = Mapping::builtin(format).expect("built in");
        let twice = [bytes, bytes].concat();
        let one_by_one: Vec<_> = read(&*twice, mapping)
            .map(|imported| imported.map(|imported| (imported.line, imported.event)))
            .collect();
        let mut found = Vec::new();
        let reading = Reading { mapping, written: None };
        read_in_order(Records::of(&*twice, mapping), reading, 3, &mut |written| {
            found.push(
                written.map(|written| (written.line, Event::from_json(written.json).expect("an event"))),
            );
            ControlFlow::Continue(())
        })
        .expect("threads");
        assert!(found == one_by_one, "{format}");
        let mut taken = 0;
        read_in_order(Records::of(&*twice, mapping), reading, 3, &mut |_| {
            taken += 1;
            if taken == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .expect("threads");
        assert_eq!(taken, 5);
    }
}

fn doubt(input: impl BufRead, mapping: &Mapping) -> Option<String> {
    let mut records = Records::of(input, mapping);
    let sample = Sample::of(&mut records);
    let doubt = sample.judge(mapping, None).doubt;
    // What was looked at still comes.
    assert!(records.count() >= sample.len());
    doubt
}

#[test]
fn real_records_are_not_doubted() {
    for (format, _, bytes) in SAMPLES {
        assert_eq!(doubt(bytes, Mapping::builtin(format).expect("built in")), None, "{format}");
        let mut records = Records::of_any(bytes);
        let (mapping, why) = Sample::of(&mut records).detect().expect("a format");
        assert_eq!(mapping.format(), format, "{why}");
        assert!(why.contains("JSON lines; 20 of the first 20 records have"), "{why}");
    }
}

#[test]
fn the_wrong_mapping_is_doubted() {
    for (format, _, bytes) in SAMPLES {
        for other in SAMPLES.iter().map(|(other, ..)| *other).filter(|other| *other != format) {
            let doubt = doubt(bytes, Mapping::builtin(other).expect("built in")).expect("a doubt");
            assert!(doubt.contains(&format!("looks like {format}")), "{doubt}");
        }
    }
    let logstash = r#"{"@version":"1","message":"GET /","host":{"name":"web"}}"#;
    let many = format!("{logstash}\n").repeat(103);
    let doubt_of_many = doubt(many.as_bytes(), &own()).expect("a doubt");
    assert!(doubt_of_many.contains("no action and no actor and no time"), "{doubt_of_many}");
    assert!(doubt_of_many.contains("the first has @version, message, host"), "{doubt_of_many}");
    assert!(doubt(logstash.as_bytes(), &own()).is_some(), "not even one");
    let unknown_list = format!("{{\"stuff\":[{logstash},{logstash}]}}");
    assert!(doubt(unknown_list.as_bytes(), &own()).is_some());
}

#[test]
fn a_sample_that_lacks_one_field_is_doubted_if_it_is_large_enough() {
    let line = "{\"do\":\"buy\",\"at\":\"2024-01-15T10:30:00Z\"}\n";
    assert_eq!(doubt(line.repeat(4).as_bytes(), &own()), None);
    let doubt_of_more = doubt(line.repeat(5).as_bytes(), &own()).expect("a doubt");
    assert!(doubt_of_more.contains("give no actor"), "{doubt_of_more}");
    let half = format!("{line}{}", line.replace("\"at\"", "\"who\":\"chen\",\"at\"")).repeat(5);
    assert_eq!(doubt(half.as_bytes(), &own()), None);
    // What the mapping does not ask for is not missed.
    let without = Mapping::parse("format = 'own'\n[event]\naction = 'do'").expect("a good mapping");
    assert_eq!(doubt(line.repeat(9).as_bytes(), &without), None);
}

#[test]
fn what_was_not_found_is_told_with_where_it_was_looked_for() {
    let mapping = own();
    let mut records = Records::of(&b"{\"do\":\"buy\",\"at\":\"soon\"}"[..], &mapping);
    let not_found = Sample::of(&mut records).judge(&mapping, None).not_found;
    let told: Vec<String> = not_found
        .iter()
        .map(|found| format!("{} {} {}", found.field, found.records, found.looked_at))
        .collect();
    assert_eq!(told, ["time 1 at, time", "actor.id 1 who"]);
}

#[test]
fn what_is_written_slowly_is_passed_on_as_it_comes() {
    let (mut writer, reader) = std::os::unix::net::UnixStream::pair().expect("two ends");
    let (taken, came) = std::sync::mpsc::channel();
    let mapping = own();
    let line = "{\"do\":\"buy\",\"who\":\"chen\"}\n";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let records = Records::of(std::io::BufReader::new(reader), &mapping);
            let reading = Reading { mapping: &mapping, written: None };
            read_in_order(records, reading, 2, &mut |written| {
                taken.send(written.is_ok()).expect("somebody waits");
                ControlFlow::Continue(())
            })
            .expect("threads");
        });
        for count in [2, 1, 3] {
            std::io::Write::write_all(&mut writer, line.repeat(count).as_bytes()).expect("it is read");
            for _ in 0..count {
                let is_record =
                    came.recv_timeout(std::time::Duration::from_secs(60)).expect("it is passed on");
                assert!(is_record);
            }
        }
        drop(writer);
    });
}

#[test]
fn an_input_without_any_record_is_doubted() {
    let doubt = |input: &str| {
        let mapping = own();
        Sample::of(&mut Records::of(input.as_bytes(), &mapping)).judge(&mapping, None).doubt
    };
    let said = doubt(&"192.0.2.7 - - [15/Jan/2024] GET /\n".repeat(30)).expect("a doubt");
    assert!(said.contains("none of the first 20 lines is a record (line 1: not a JSON object"), "{said}");
    let banner = "# exported\n".repeat(25);
    let good = "{\"do\":\"x\",\"who\":\"chen\",\"at\":\"2024-01-15T10:30:00Z\"}\n".repeat(30);
    assert_eq!(doubt(&format!("{banner}{good}")), None, "a long banner");
    assert_eq!(doubt("not JSON\n{\"do\":\"x\"\n"), None, "few lines say little");
    assert_eq!(doubt(&format!("{}{}", "started\n".repeat(19), "{\"do\":\"x\",\"at\":5}\n")), None);
}

#[test]
fn roles_are_all_that_a_path_with_a_star_finds() {
    let mapping = Mapping::parse(
        "format = 'own'\n[event]\naction = 'do'\n'actor.roles' = ['granted.*.role', 'groups', 'group']\n[values.'actor.roles']\nc = 'cook'\n",
    )
    .expect("good");
    let roles_of = |input: &str| {
        let event = read(input.as_bytes(), &mapping).next().expect("a record").expect("a good one").event;
        event.actor.map(|actor| actor.roles).unwrap_or_default().join(",")
    };
    assert_eq!(
        roles_of(r#"{"do":"x","granted":[{"role":"root"},{"role":"backup"},{}],"groups":["no"]}"#),
        "root,backup"
    );
    assert_eq!(roles_of(r#"{"do":"x","granted":[],"groups":["a","b",null]}"#), "a,b");
    assert_eq!(roles_of(r#"{"do":"x","groups":[],"group":"c"}"#), "cook");
    assert_eq!(roles_of(r#"{"do":"x"}"#), "");
}
