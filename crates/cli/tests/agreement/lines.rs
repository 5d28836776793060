//! Lines that a checkpoint covers.

use super::{PINS, agreed, change, compare, trail};

#[test]
fn on_lines_that_were_signed() {
    let place = trail();
    for pins in PINS {
        assert_eq!(agreed(&place, "trail", pins, "as it is").unwrap()["ok"], true);
    }
    let edit = |segment: usize, line: usize| {
        change(move |copy| {
            copy.tamper(segment, |lines| {
                let end = lines[line].len() - 1;
                lines[line].insert(end, ' ');
            })
        })
    };
    let other_hour = |lines: &mut Vec<String>| lines[9] = lines[9].replacen("T", "U", 1);
    compare(
        &place,
        &PINS,
        vec![
            ("the first line", Some("edited"), edit(0, 0)),
            ("a line", Some("edited"), edit(1, 17)),
            ("the last line", Some("edited"), edit(2, 0)),
            ("a front", Some("edited"), change(move |copy| copy.tamper(1, other_hour))),
            ("a line is gone", Some("missing"), change(|copy| copy.tamper(1, |lines| drop(lines.remove(5))))),
            (
                "a line stands there twice",
                Some("duplicated"),
                change(|copy| copy.tamper(1, |lines| lines[6] = lines[5].clone())),
            ),
            (
                "two lines changed places",
                Some("reordered"),
                change(|copy| copy.tamper(1, |lines| lines.swap(3, 4))),
            ),
            (
                "a line was put between",
                Some("inserted"),
                change(|copy| copy.tamper(1, |lines| lines.insert(3, lines[3].replace("agree", "more")))),
            ),
            (
                "a line of 70,000 bytes",
                Some("edited"),
                change(|copy| copy.tamper(1, |lines| lines[3].push_str(&"x".repeat(70_000)))),
            ),
            (
                "a segment is gone",
                Some("segment_missing"),
                change(|copy| std::fs::remove_file(copy.path(&copy.segments()[1])).unwrap()),
            ),
            (
                "the first segment is gone",
                Some("segment_missing"),
                change(|copy| std::fs::remove_file(copy.path(&copy.segments()[0])).unwrap()),
            ),
            (
                "the end is cut off",
                Some("missing"),
                change(|copy| {
                    let last = copy.segments().pop().unwrap();
                    copy.edit(&last, |bytes| bytes.truncate(bytes.len() * 2 / 3));
                }),
            ),
            (
                "a compressed segment is damaged",
                Some("edited"),
                change(|copy| copy.flip(&copy.segments()[1], 1)),
            ),
            (
                "a compressed segment is cut off",
                Some("edited"),
                change(|copy| {
                    let name = copy.segments()[1].clone();
                    copy.edit(&name, |bytes| bytes.truncate(bytes.len() / 2));
                }),
            ),
            (
                "a compressed segment is other zstd of the same lines",
                None,
                change(|copy| {
                    let name = copy.segments()[0].clone();
                    copy.edit(&name, |bytes| {
                        let lines = zstd::decode_all(&**bytes).unwrap();
                        let half = lines.len() / 2;
                        *bytes = zstd::bulk::compress(&lines[..half], 3).unwrap();
                        bytes.extend(b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc");
                        bytes.extend(zstd::bulk::compress(&lines[half..], 3).unwrap());
                    });
                }),
            ),
            (
                "a frame that does not say its length",
                Some("edited"),
                change(|copy| {
                    let name = copy.segments()[1].clone();
                    copy.edit(&name, |bytes| {
                        let lines = zstd::decode_all(&**bytes).unwrap();
                        *bytes = zstd::stream::encode_all(&*lines, 3).unwrap();
                    });
                }),
            ),
            (
                "a plain segment beside the compressed one counts",
                Some("edited"),
                change(|copy| {
                    let name = copy.segments()[1].clone();
                    let packed = std::fs::read(copy.path(&name)).unwrap();
                    copy.tamper(1, |lines| lines[2] = lines[2].replace("agree", "agrees"));
                    std::fs::write(copy.path(&name), packed).unwrap();
                }),
            ),
            (
                "void lines behind a segment",
                None,
                change(|copy| copy.tamper(1, |lines| lines.extend(["void".to_owned(), "x".to_owned()]))),
            ),
        ],
    );
}
