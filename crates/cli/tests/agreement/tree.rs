//! The tree on disk.

use super::{PINS, change, compare, trail};

#[test]
fn on_the_tree() {
    let place = trail();
    let put = |level: u8, from: usize, byte: u8| {
        change(move |copy| {
            copy.edit(&format!("tree/{level}"), |bytes| bytes[from..].fill(byte));
        })
    };
    let cut = |level: u8, len: usize| {
        change(move |copy| copy.edit(&format!("tree/{level}"), |bytes| bytes.truncate(len)))
    };
    let remove = |name: &'static str| change(move |copy| std::fs::remove_file(copy.path(name)).unwrap());
    let beyond = |level: u8, count: usize| {
        change(move |copy| copy.edit(&format!("tree/{level}"), |bytes| bytes.extend(vec![0x5A; count])))
    };
    compare(
        &place,
        &PINS,
        vec![
            ("a leaf hash", Some("tile_forged"), change(|copy| copy.flip("tree/0", 32 * 300 + 9))),
            ("the last leaf hashes", Some("tile_forged"), put(0, 32 * 600, 0)),
            ("a hash of level 1", Some("tile_forged"), change(|copy| copy.flip("tree/1", 40))),
            ("level 0 ends before", Some("tree_missing"), cut(0, 32 * 200 + 5)),
            ("level 0 is empty", Some("tree_missing"), cut(0, 0)),
            ("level 1 is empty", Some("tree_missing"), cut(1, 0)),
            ("level 0 is not there", Some("tree_missing"), remove("tree/0")),
            ("level 1 is not there", Some("tree_missing"), remove("tree/1")),
            (
                "no tree is there",
                Some("tree_missing"),
                change(|copy| std::fs::remove_dir_all(copy.path("tree")).unwrap()),
            ),
            (
                "level 0 ends, and level 1 is wrong before",
                Some("tile_forged"),
                change(|copy| {
                    copy.edit("tree/0", |bytes| bytes.truncate(32 * 500));
                    copy.flip("tree/1", 3);
                }),
            ),
            ("void bytes", None, beyond(0, 32 * 7 + 3)),
            ("void bytes of level 1", None, beyond(1, 40)),
            (
                "a torn last block of void bytes",
                None,
                change(|copy| {
                    copy.edit("tree/0", |bytes| {
                        bytes.extend([0xEE; 32 * 40]);
                        let len = bytes.len();
                        bytes[len - 32 * 20..].fill(0);
                    });
                }),
            ),
            (
                "a level that has no hashes yet",
                None,
                change(|copy| std::fs::write(copy.path("tree/2"), [9; 33]).unwrap()),
            ),
            (
                "lines and leaf hashes both changed",
                Some("root_mismatch"),
                change(|copy| {
                    copy.tamper(1, |lines| lines[17] = lines[17].replace("agree", "agrees"));
                    let first: u64 = copy.segments()[1][9..29].parse().unwrap();
                    copy.flip("tree/0", 32 * (first + 17));
                }),
            ),
            (
                "a line behind, and the leaf hashes before it",
                Some("root_mismatch"),
                change(|copy| {
                    copy.tamper(2, |lines| lines[0] = lines[0].replace("agree", "agrees"));
                    copy.flip("tree/0", 32 * 3);
                }),
            ),
            (
                "a line before, and the leaf hashes behind it",
                None.or(Some("edited")),
                change(|copy| {
                    copy.tamper(0, |lines| lines[3] = lines[3].replace("agree", "agrees"));
                    copy.flip("tree/0", 32 * 600);
                }),
            ),
            (
                "lines are gone, and the tree with them",
                Some("segment_missing"),
                change(|copy| {
                    std::fs::remove_file(copy.path(&copy.segments()[1])).unwrap();
                    copy.edit("tree/0", |bytes| bytes.clear());
                }),
            ),
        ],
    );
}
