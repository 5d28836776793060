//! Lines that no checkpoint covers yet.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Copy, ORIGIN, PINS, Pins, agreed, change, compare, trail};

/// The handoff that a writer of this origin leaves when it is killed, with nothing in it.
fn handoff(origin: &str, durable: u64) -> Vec<u8> {
    let mut bytes = vec![0; 4_096 + (1 << 20)];
    bytes[..8].copy_from_slice(b"TSHAND01");
    bytes[8] = 7;
    bytes[16..24].copy_from_slice(&(1_u64 << 20).to_le_bytes());
    bytes[24..32].copy_from_slice(&Sha256::digest(origin.as_bytes())[..8]);
    bytes[128..136].copy_from_slice(&durable.to_le_bytes());
    bytes
}

#[test]
fn on_lines_that_no_checkpoint_covers() {
    let place = trail();
    let copy = Copy::of(&place);
    let (size, end) = (copy.set_back(1), copy.segments().len());
    let verdict = agreed(&place, "copy", Pins::Key, "set back to a kept one").unwrap();
    assert_eq!((&verdict["ok"], &verdict["sealed"]), (&json!(true), &json!(size)));
    assert!(verdict["unsealed"].as_u64().unwrap() > 100 && end > 3, "{verdict}");
    // Kept checkpoints still cover what follows, so they go: then it is really not covered.
    let bare = |copy: &Copy<'_>| {
        let size = copy.set_back(1);
        for kept in copy.kept().into_iter().filter(|kept| *kept > size) {
            std::fs::remove_file(copy.path(&format!("checkpoints/{kept}"))).unwrap();
        }
    };
    let tamper = move |segment: usize, edit: fn(&mut Vec<String>)| {
        change(move |copy| {
            bare(copy);
            copy.tamper(segment, edit);
        })
    };
    let short = move |copy: &Copy<'_>, origin: Option<&str>| {
        bare(copy);
        let last = copy.segments().len() - 1;
        copy.tamper(last, |lines| lines.truncate(lines.len() - 3));
        if let Some(origin) = origin {
            std::fs::write(copy.path("handoff"), handoff(origin, 620)).unwrap();
        }
    };
    let torn = move |copy: &Copy<'_>, durable: u64| {
        bare(copy);
        copy.tamper(4, |lines| assert_eq!(lines[30].pop(), Some('}')));
        std::fs::write(copy.path("handoff"), handoff(ORIGIN, durable)).unwrap();
    };
    compare(
        &place,
        &PINS[..2],
        vec![
            (
                "an edit that nothing shows",
                None,
                tamper(3, |lines| lines[5] = lines[5].replace("agree", "agrees")),
            ),
            ("a line is gone", Some("missing"), tamper(3, |lines| drop(lines.remove(5)))),
            ("a line twice", Some("duplicated"), tamper(3, |lines| lines.insert(5, lines[4].clone()))),
            ("a line that is none", Some("edited"), tamper(3, |lines| lines[5] = "{}".into())),
            (
                "a day that does not exist",
                Some("edited"),
                tamper(3, |lines| {
                    let at = lines[5].find("\"recorded\":\"").unwrap() + 12;
                    lines[5].replace_range(at..at + 10, "2025-02-29");
                }),
            ),
            (
                "a time that goes back",
                Some("reordered"),
                tamper(3, |lines| {
                    let at = lines[5].find("\"recorded\":\"").unwrap() + 12;
                    lines[5].replace_range(at..at + 10, "2024-02-29");
                }),
            ),
            (
                "a line of 70,000 bytes",
                Some("line_too_long"),
                tamper(3, |lines| lines[5].push_str(&"x".repeat(70_000))),
            ),
            (
                "a segment between is gone",
                Some("missing"),
                change(move |copy| {
                    bare(copy);
                    std::fs::remove_file(copy.path(&copy.segments()[3])).unwrap();
                }),
            ),
            (
                "a torn last line",
                None,
                change(move |copy| {
                    bare(copy);
                    let last = copy.segments().pop().unwrap();
                    copy.edit(&last, |bytes| bytes.extend(b"{\"v\":1,\"index\":"));
                }),
            ),
            (
                "the end is gone, and a kept checkpoint covers it",
                Some("missing"),
                change(|copy| {
                    copy.set_back(1);
                    let last = copy.segments().pop().unwrap();
                    std::fs::remove_file(copy.path(&last)).unwrap();
                    let before = copy.segments().pop().unwrap();
                    copy.tamper(copy.segments().len() - 1, |lines| lines.truncate(lines.len() - 3));
                    drop(before);
                }),
            ),
            (
                "an edit that a larger kept checkpoint shows",
                Some("root_mismatch"),
                change(|copy| {
                    copy.set_back(1);
                    copy.tamper(3, |lines| lines[1] = lines[1].replace("agree", "agrees"));
                }),
            ),
            ("the end is gone, and was not known to be durable", None, change(move |copy| short(copy, None))),
            (
                "the end that was durable is gone",
                Some("durable_missing"),
                change(move |copy| short(copy, Some(ORIGIN))),
            ),
            ("another trail's handoff", None, change(move |copy| short(copy, Some("example.org/other")))),
            (
                "a line behind the close",
                Some("inserted"),
                change(move |copy| {
                    bare(copy);
                    copy.tamper(copy.segments().len() - 1, |lines| {
                        let last = lines.last().unwrap();
                        assert!(last.contains("trail.closed"), "{last}");
                        let next = last.replace("\"index\":619,", "\"index\":620,");
                        lines.push(next.replace("trail.closed", "trail.read"));
                    });
                }),
            ),
            ("a torn line that nobody was told of", None, change(move |copy| torn(copy, 0))),
            ("a torn line that was durable", Some("durable_missing"), change(move |copy| torn(copy, 620))),
        ],
    );
}
