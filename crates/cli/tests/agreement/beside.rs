//! Beside a running writer, and in folders of many writers.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Pins, agreed, events, product, stranger, trail};
use crate::support::{Place, Running};

#[test]
fn beside_a_writer_that_rolls_and_compresses_all_is_well() {
    let place = trail();
    let mut writer = Running(place.command(&["record"]).stdin(Stdio::piped()).spawn().unwrap());
    let mut input = writer.0.stdin.take().unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let until = is_over.clone();
    let feeder = std::thread::spawn(move || {
        for round in 0.. {
            // In parts that a segment does not hold, so that it rolls all the time; and no more than a test can read.
            if until.load(Ordering::Acquire) || round == 300 {
                return;
            }
            input.write_all(events(round * 10, 40).as_bytes()).unwrap();
            input.flush().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(40));
        }
    });
    for round in 0..5 {
        for answer in
            [product(&place, &["--public-key", "key"]), stranger(&place, &["trail", "--public-key", "key"])]
        {
            let verdict = answer.into_iter().next().unwrap().unwrap();
            assert_eq!(verdict["ok"], true, "round {round}: {verdict}");
        }
    }
    is_over.store(true, Ordering::Release);
    feeder.join().unwrap();
    assert!(writer.0.wait().unwrap().success());
    let verdict = agreed(&place, "trail", Pins::Key, "after it").unwrap();
    assert!(verdict["ok"] == true && verdict["sealed"].as_u64() > Some(700), "{verdict}");
}

#[test]
fn each_slot_is_judged_for_itself() {
    let place = Place::new();
    place.write("trailseal.toml", "origin = \"example.org/app\"\nworkers = \"slots\"\n");
    let mut first = Running(place.command(&["record", "--json"]).stdin(Stdio::piped()).spawn().unwrap());
    first.0.stdin.as_mut().unwrap().write_all(events(0, 30).as_bytes()).unwrap();
    let receipts = crate::support::Lines::of(first.0.stdout.take().unwrap());
    assert!(receipts.wait().contains("example.org/app/0"));
    place.feed("record", events(0, 50)).ok();
    drop(first.0.stdin.take());
    assert!(first.0.wait().unwrap().success());
    let both = |what: &str| {
        let (ours, theirs) = (product(&place, &[]), stranger(&place, &["trail"]));
        assert_eq!(ours, theirs, "{what}");
        ours.into_iter().map(|verdict| verdict.unwrap()["problem"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(both("as they are"), [serde_json::Value::Null, serde_json::Value::Null]);
    let segment = place.path("trail/1/segments/00000000000000000000.jsonl");
    let text = std::fs::read_to_string(&segment).unwrap().replacen("test.agree", "test.other", 1);
    std::fs::write(&segment, text).unwrap();
    assert_eq!(both("an edit in the second"), [serde_json::Value::Null, "edited".into()]);
}
