//! States that a crash of an honest machine leaves, made by files alone: each must open, go on and verify. Beside each
//! stands a state that no honest machine leaves: that one must be refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::Path;

use trailseal_attacks::{
    Answer, Folder, Key, Kind, ManifestKey, Place, checkpoint_note, handoff, handoff_mark, manifest, root,
    set_handoff_mark, snapshot,
};

const CREATED: &str = "2026-11-21T04:00:00.000000Z";

/// The steps of making a trail, in their order.
const STEPS: [&str; 9] =
    ["segments", "keys", "checkpoints", "tree", "leaves", "key", "origin", "checkpoint", "trail.toml"];

/// A folder in which the first `steps` steps of making a trail were done.
fn interrupted_making(steps: usize, key: &Key) -> Place {
    let place = Place::new(Kind::One);
    let trail = place.trail();
    std::fs::create_dir(&trail.0).unwrap();
    STEPS[..steps].iter().for_each(|step| make(&trail, step, key));
    place
}

fn make(trail: &Folder, step: &str, key: &Key) {
    let origin = key.origin();
    match step {
        "leaves" => trail.write("tree/0", ""),
        "key" => trail.write("keys/signing.key", key.to_file_text()),
        "origin" => trail.write("keys/signing.key.origin", format!("{origin}\nmaking\n")),
        "checkpoint" => trail.write("checkpoint", checkpoint_note(origin, 0, &root(&[]), &[key], &[])),
        "trail.toml" => {
            let key = ManifestKey { public: key.public(), from: 0, to: None, vouched: None };
            trail.write("trail.toml", manifest(origin, CREATED, &[key]));
        }
        folder => std::fs::create_dir(trail.path(folder)).unwrap(),
    }
}

fn own_key() -> Key {
    Key::of_seed("example.com/attacked", 3)
}

/// It opens, takes events twice, and all is as it was signed.
#[track_caller]
fn opens(place: &Place, what: &str) {
    let before = place.trail().lines();
    let first = place.record(&["more", "and.more"]);
    assert_eq!(first.code, Some(0), "{what}: {first:#?}");
    place.record(&["once.more"]).ok();
    let lines = place.trail().lines();
    assert!(lines.starts_with(&before), "{what}: a line that was there is another one now");
    let verdict = place.verify(&place.trail().key().public(), None);
    assert_eq!(verdict.code, Some(0), "{what}: {verdict:#?}");
    assert_eq!(verdict.json()["sealed"], lines.len(), "{what}: {verdict:#?}");
}

/// An opening is refused, and nothing is changed by it.
#[track_caller]
fn refused(place: &Place, what: &str) -> Answer {
    let before = snapshot(&place.trail().0);
    let answer = place.record(&["more"]);
    assert_eq!(answer.code, Some(2), "{what}: {answer:#?}");
    assert!(before == snapshot(&place.trail().0), "{what}: changed by a refused opening");
    answer
}

#[test]
fn an_interrupted_making_goes_on_at_every_step() {
    for steps in 0..=STEPS.len() {
        let place = interrupted_making(steps, &own_key());
        opens(&place, &format!("after {:?}", &STEPS[..steps]));
        if steps > 5 {
            assert_eq!(place.trail().key().public(), own_key().public(), "the key that was made is used");
        }
    }
}

#[test]
fn a_finished_making_says_so_in_the_origin_file() {
    let place = Place::new(Kind::One);
    place.record(&["first"]).ok();
    assert_eq!(place.trail().read("keys/signing.key.origin"), "example.com/attacked\n");
}

#[test]
fn no_trail_is_made_where_something_of_one_is_left() {
    let key = own_key();
    let line =
        br#"{"v":1,"index":0,"recorded":"2026-11-21T04:00:00.000000Z","id":"x","action":"user.login"}"#;
    let lines = [line.to_vec()];
    type Rest<'a> = (&'a str, Box<dyn Fn(&Folder) + 'a>);
    let rests: [Rest<'_>; 6] = [
        (
            "lines",
            Box::new(|trail| {
                trail.write("segments/00000000000000000000.jsonl", [line, &b"\n"[..]].concat());
            }),
        ),
        (
            "a checkpoint above 0",
            Box::new(|trail| {
                trail.write("checkpoint", checkpoint_note(key.origin(), 1, &[7; 32], &[&key], &[]));
            }),
        ),
        (
            "a kept checkpoint",
            Box::new(|trail| {
                trail.write("checkpoints/1", checkpoint_note(key.origin(), 1, &[7; 32], &[&key], &[]));
            }),
        ),
        ("tree bytes", Box::new(|trail| trail.write("tree/0", [7; 32]))),
        (
            "an index",
            Box::new(|trail| {
                std::fs::create_dir(trail.path("index")).unwrap();
                trail.write("index/main.db", "something");
            }),
        ),
        ("a handoff with frames", Box::new(|trail| trail.write("handoff", handoff(key.origin(), 0, &lines)))),
    ];
    for (what, put) in rests {
        for steps in 5..STEPS.len() {
            let place = interrupted_making(steps, &key);
            put(&place.trail());
            refused(&place, &format!("{what} after {:?}", &STEPS[..steps]));
        }
    }
}

#[test]
fn create_false_makes_no_trail() {
    for steps in 0..STEPS.len() {
        let place = interrupted_making(steps, &own_key()).with("TRAILSEAL_CREATE", "false");
        refused(&place, &format!("{:?}", &STEPS[..steps]));
    }
    let nothing = Place::new(Kind::One).with("TRAILSEAL_CREATE", "false");
    nothing.record(&["first"]).refused(&["create"]);
    assert!(!nothing.trail().path("trail.toml").exists());
    opens(&interrupted_making(STEPS.len(), &own_key()).with("TRAILSEAL_CREATE", "false"), "a whole one");
    let slots = Place::new(Kind::Slots).with("TRAILSEAL_CREATE", "false");
    slots.record(&["first"]).refused(&["create"]);
    assert!(!slots.trail().path("trail.toml").exists());
}

#[test]
fn a_key_that_has_signed_is_not_used_for_a_new_trail() {
    let mut place = Place::new(Kind::One).with("TRAILSEAL_KEY_FILE", "elsewhere.key");
    place.record(&["first"]).ok();
    assert!(place.path("elsewhere.key.origin").exists());
    std::fs::remove_dir_all(&place.trail().0).unwrap();
    for origin in ["example.com/attacked", "example.com/another"] {
        place.set("TRAILSEAL_ORIGIN", origin);
        place.record(&["again"]).refused(&["elsewhere.key"]);
        assert!(!place.trail().path("trail.toml").exists());
    }
    // An interrupted making goes on with a key elsewhere, too.
    let place = Place::new(Kind::One).with("TRAILSEAL_KEY_FILE", "elsewhere.key");
    std::fs::write(place.path("elsewhere.key"), own_key().to_file_text()).unwrap();
    std::fs::write(place.path("elsewhere.key.origin"), "example.com/attacked\nmaking\n").unwrap();
    place.record(&["first"]).ok();
    place.verify(&own_key().public(), None).ok();
}

fn stopped() -> Place {
    let place = Place::new(Kind::One).with("TRAILSEAL_SEGMENT__ROLL", "1KiB");
    for name in ["first", "second", "third"] {
        place.session(name, 10);
    }
    place
}

/// The last of 20 lines that nothing signs, with the handoff and the index that know all of them.
fn killed() -> Place {
    let mut place = stopped();
    place.killed_session("unsealed", 20);
    place
}

#[test]
fn a_checkpoint_older_than_kept_ones_is_gone_on_from() {
    let base = stopped();
    let kept = base.trail().kept();
    let size = base.trail().checkpoint().unwrap().size;
    for back in 1..=4 {
        let place = base.copy();
        let older = kept[kept.len() - 1 - back];
        place.trail().write("checkpoint", place.trail().read(&format!("checkpoints/{older}")));
        opens(&place, &format!("set back to {older} of {size}"));
    }
    // The dishonest neighbour: the largest kept one signs more than there is.
    base.trail().write("checkpoint", base.trail().read(&format!("checkpoints/{}", kept[0])));
    base.trail().cut_lines(kept[1]);
    base.trail().remove("index");
    refused(&base, "a kept checkpoint signs lines that are gone");
}

#[test]
fn a_checkpoint_that_is_gone_or_anothers_is_refused() {
    let base = stopped();
    for text in [None, Some(String::new()), Some("garbage\n".into())] {
        let place = base.copy();
        match text {
            None => place.trail().remove("checkpoint"),
            Some(text) => place.trail().write("checkpoint", text),
        }
        refused(&place, "no checkpoint beside lines");
    }
    let size = base.trail().checkpoint().unwrap().size;
    let note = base.trail().note_of_lines(size, &[&own_key()], &[]);
    base.trail().write("checkpoint", note);
    refused(&base, "a checkpoint by another key");
}

#[test]
fn bytes_of_the_tree_beyond_the_signed_size_are_void() {
    let base = stopped();
    let leaves = std::fs::read(base.trail().path("tree/0")).unwrap();
    for more in [1, 31, 32, 700, 4_096, 20_000] {
        let place = base.copy();
        place.trail().write("tree/0", [&leaves[..], &vec![0xa5; more]].concat());
        if more > 4_096 {
            place.trail().write("tree/1", [0x5a; 96]);
        }
        opens(&place, &format!("{more} void bytes"));
    }
    // Torn in its last block, which holds signed hashes too.
    for keep in [leaves.len() - 1, leaves.len() - 32, 100, 1] {
        let place = base.copy();
        place.trail().write("tree/0", &leaves[..keep]);
        opens(&place, &format!("{keep} bytes of the tree"));
    }
    // The dishonest neighbour: a line was edited, and the tree agrees with it.
    base.trail().edit_line(4, |line| line.extend_from_slice(b" "));
    base.trail().write_tree(base.trail().checkpoint().unwrap().size);
    refused(&base, "a tree of other lines");
}

#[test]
fn a_sealer_that_failed_for_hours_is_honest_and_lines_that_a_witness_misses_are_not() {
    let base = killed();
    let (lines, sealed) = (base.trail().lines().len() as u64, base.trail().checkpoint().unwrap().size);
    assert!(lines >= sealed + 20, "nothing was signed of the last {lines} - {sealed} lines");
    assert_eq!(handoff_mark(&base.trail().path("handoff")), Some(lines), "the mark knows all lines");
    assert_eq!(base.trail().index_cursor(), Some(lines), "the index knows all lines");
    opens(&base.copy(), "killed with the checkpoint far behind");
    let earlier = base.copy();
    set_handoff_mark(&earlier.trail().path("handoff"), sealed);
    opens(&earlier, "a mark that was not written back");
    for name in ["handoff", "index", "lock"] {
        let place = base.copy();
        place.trail().remove(name);
        opens(&place, &format!("without {name}"));
    }

    for ahead in [1, 1_000] {
        let place = base.copy();
        set_handoff_mark(&place.trail().path("handoff"), lines + ahead);
        let said = refused(&place, "the mark is ahead of the lines").err;
        assert!(said.contains("handoff") && said.contains("trailseal succeed"), "{said}");
    }
    for keep in [sealed, sealed + 1, lines - 1] {
        for witness in ["handoff", "index"] {
            let place = base.copy();
            place.trail().cut_lines(keep);
            place.trail().remove(if witness == "handoff" { "index" } else { "handoff" });
            let said = refused(&place, &format!("{keep} of {lines} lines and {witness}")).err;
            assert!(said.contains(witness) && said.contains("trailseal succeed"), "{witness}: {said}");
            assert!(said.contains(&keep.to_string()), "the range begins with {keep}: {said}");
        }
    }
}

#[test]
fn a_torn_last_line_is_cut_and_told_unless_it_was_durable() {
    let base = killed();
    let segment = base.trail().segments().pop().unwrap();
    let mut text = segment.text();
    text.extend_from_slice(b"{\"v\":1,\"index\":99,\"recor");
    std::fs::write(&segment.path, &text).unwrap();
    opens(&base.copy(), "half a line behind the durable ones");
    // One byte less than the last durable line has.
    let whole = text.iter().rposition(|&byte| byte == b'\n').unwrap();
    std::fs::write(&segment.path, &text[..whole]).unwrap();
    refused(&base, "the last durable line is torn");
}

#[test]
fn a_named_handoff_elsewhere_is_a_witness() {
    let mut base = stopped().with("TRAILSEAL_HANDOFF__PATH", "elsewhere.handoff");
    base.killed_session("unsealed", 20);
    let lines = base.trail().lines().len() as u64;
    base.trail().remove("index");
    let copied = base.copy();
    // It would lead to the handoff of the folder that was copied.
    copied.trail().remove("lock");
    opens(&copied, "with a handoff elsewhere");
    base.trail().cut_lines(lines - 1);
    let said = refused(&base, "the handoff elsewhere knows more").err;
    assert!(said.contains("elsewhere.handoff"), "{said}");
}

#[test]
fn an_anchor_file_is_a_witness_when_it_can_be_read() {
    let base = Place::new(Kind::One).with("TRAILSEAL_SEGMENT__ROLL", "1KiB");
    std::fs::write(base.path("trailseal.toml"), "[[anchor]]\nfile = \"anchored\"\n").unwrap();
    base.session("first", 10);
    let earlier = base.copy();
    base.session("second", 10);
    opens(&base.copy(), "an anchor that has the newest");
    let without = base.copy();
    std::fs::remove_file(without.path("anchored")).unwrap();
    opens(&without, "an anchor file that is gone");
    let lagging = base.copy();
    std::fs::copy(earlier.path("anchored"), lagging.path("anchored")).unwrap();
    opens(&lagging, "an anchor that lags");
    // The whole folder set back: only what left it knows more.
    std::fs::copy(base.path("anchored"), earlier.path("anchored")).unwrap();
    let said = refused(&earlier, "the folder was set back, the anchor was not").err;
    assert!(said.contains("anchored") && said.contains("trailseal succeed"), "{said}");
}

#[test]
fn a_backup_opens_after_it_was_restored() {
    for base in [stopped(), killed()] {
        let sealed = base.trail().checkpoint().unwrap().size;
        base.run(&["backup", "plain"]).ok();
        base.run(&["backup", "whole", "--with-keys"]).ok();
        let has = |folder: &str, name: &str| base.path(folder).join(name).exists();
        for folder in ["plain", "whole"] {
            for left_out in ["handoff", "index", "lock", "socket"] {
                assert!(!has(folder, left_out), "{folder}: {left_out} is left out");
            }
        }
        assert!(has("whole", "keys/signing.key") && !has("plain", "keys/signing.key"));
        let restored = base.copy();
        restored.trail().remove("");
        std::fs::rename(restored.path("whole"), &restored.trail().0).unwrap();
        assert!(restored.trail().lines().len() as u64 >= sealed);
        opens(&restored, "a backup with its keys");
        // Again into the same place, from a trail that went on.
        base.session("later", 10);
        base.run(&["backup", "whole", "--with-keys"]).ok();
        let size = base.trail().checkpoint().unwrap().size;
        assert_eq!(
            Folder(base.path("whole")).checkpoint().unwrap().size,
            size,
            "it goes on where it stopped"
        );
    }
}

#[test]
fn backups_taken_beside_a_writer_open() {
    let place = stopped();
    let mut writer = place.writer();
    let mut copies: Vec<String> = Vec::new();
    for round in 0..10 {
        for number in 0..50 {
            writer.send(&format!("{{\"action\":\"round.{round}.{number}\"}}"));
        }
        let name = format!("backup-{round}");
        place.run(&["backup", &name, "--with-keys"]).ok();
        copies.push(name);
    }
    drop(writer);
    for name in copies {
        let mut restored = Place::new(Kind::One);
        restored.set("TRAILSEAL_SEGMENT__ROLL", "1KiB");
        copy_trail(&place.path(&name), &restored);
        opens(&restored, &name);
    }
}

fn copy_trail(from: &Path, to: &Place) {
    trailseal_attacks::copy_all(from, &to.trail().0);
}
