//! What somebody does to the files of a writer that runs, and to what its settings and its lock name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use trailseal_attacks::{Kind, Place, Writer, handoff, wait_until};

macro_rules! both {
    ($($attack:ident)*) => {
        mod one { $(#[test] fn $attack() { super::$attack(super::Kind::One); })* }
        mod slots { $(#[test] fn $attack() { super::$attack(super::Kind::Slots); })* }
    };
}

both! {
    a_removed_lock_makes_no_second_writer
    a_removed_handoff_loses_nothing
    a_strange_file_in_the_handoffs_place_is_left_alone
    a_file_that_the_lock_names_is_left_alone
    a_file_that_the_settings_name_is_left_alone
}

fn send(writer: &mut Writer, name: &str, events: usize) -> Vec<String> {
    for number in 0..events {
        writer.send(&format!("{{\"action\":\"{name}.{number}\"}}"));
    }
    (0..events).map(|_| writer.receipt_id()).collect()
}

#[track_caller]
fn holds(place: &Place, ids: &[String]) {
    let lines: Vec<String> =
        place.trail().lines().iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let lost: Vec<&String> = ids
        .iter()
        .filter(|id| !lines.iter().any(|line| line.contains(&format!("\"id\":\"{id}\""))))
        .collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), ids.len());
}

/// `rm lock` is what people do who read "is in use".
fn a_removed_lock_makes_no_second_writer(kind: Kind) {
    let place = Place::new(kind).with("TRAILSEAL_SEGMENT__ROLL", "4KiB");
    let mut writer = place.writer();
    let mut owed = send(&mut writer, "before", 10);
    for removed in [&["lock"][..], &["lock", "handoff"]] {
        removed.iter().for_each(|name| place.trail().remove(name));
        let second = place.record(&["second"]);
        if kind == Kind::One {
            second.refused(&["use"]);
        } else {
            second.ok();
            assert!(place.path("trail/1/trail.toml").exists(), "the next slot was taken");
        }
        owed.extend(send(&mut writer, "after", 40));
    }
    wait_until("the writer puts its lock back", || place.trail().path("lock").exists());
    writer.close();
    owed.extend(place.record(&["last"]).ok().ids());
    holds(&place, &owed);
    place.verify(&place.trail().key().public(), None).ok();
}

fn a_removed_handoff_loses_nothing(kind: Kind) {
    let place = Place::new(kind);
    let mut writer = place.writer();
    let mut owed = send(&mut writer, "before", 10);
    let handoff = place.trail().path("handoff");
    let generation = || std::fs::read(&handoff).ok().and_then(|file| Some(file.get(8..16)?.to_vec()));
    for is_replaced in [false, true] {
        let before = generation();
        if is_replaced {
            // As `sed -i`, an editor or a sync of folders does it: the same bytes in another file.
            std::fs::copy(&handoff, place.path("copied")).unwrap();
            std::fs::rename(place.path("copied"), &handoff).unwrap();
        } else {
            std::fs::remove_file(&handoff).unwrap();
        }
        owed.extend(send(&mut writer, "after", 40));
        wait_until("the handoff is made anew", || generation().is_some_and(|now| Some(now) != before));
        owed.extend(send(&mut writer, "made anew", 10));
    }
    writer.kill();
    owed.extend(place.record(&["last"]).ok().ids());
    holds(&place, &owed);
    place.verify(&place.trail().key().public(), None).ok();
}

fn a_strange_file_in_the_handoffs_place_is_left_alone(kind: Kind) {
    let place = Place::new(kind);
    let mut writer = place.writer();
    let mut owed = send(&mut writer, "before", 10);
    let other = handoff("example.com/another", 0, &[]);
    for content in [VICTIM, &other] {
        std::fs::remove_file(place.trail().path("handoff")).unwrap();
        place.trail().write("handoff", content);
        owed.extend(send(&mut writer, "after", 40));
        std::thread::sleep(LOOKS);
        owed.extend(send(&mut writer, "later", 10));
        assert!(std::fs::read(place.trail().path("handoff")).unwrap() == content, "it is somebody's file");
    }
    drop(writer);
    let answer = place.record(&["more"]);
    assert!(std::fs::read(place.trail().path("handoff")).unwrap() == other, "{answer:#?}");
    place.trail().remove("handoff");
    owed.extend(place.record(&["last"]).ok().ids());
    holds(&place, &owed);
}

/// A writer has looked at its files twice in this time.
const LOOKS: std::time::Duration = std::time::Duration::from_secs(3);

const VICTIM: &[u8] = b"somebody's only copy\n";

fn a_file_that_the_lock_names_is_left_alone(kind: Kind) {
    let mut place = Place::new(kind).with("TRAILSEAL_HANDOFF__PATH", "elsewhere");
    place.killed_session("killed", 5);
    let lock = place.trail().read("lock");
    let named = lock.lines().find(|line| line.starts_with("handoff")).unwrap();
    let whole =
        std::fs::read(place.path(if kind == Kind::One { "elsewhere" } else { "elsewhere.0" })).unwrap();
    let foreign = handoff("example.com/another", 0, &[]);
    for content in [VICTIM, &b""[..], &foreign, &whole[..8]] {
        let attacked = place.copy();
        let victim = attacked.path("victim");
        std::fs::write(&victim, content).unwrap();
        let file = if kind == Kind::One { "elsewhere" } else { "elsewhere.0" };
        std::fs::remove_file(attacked.path(file)).unwrap();
        let line = format!("handoff = {victim:?}");
        attacked.trail().write("lock", lock.replace(named, &line));
        // Whether it opens is another matter.
        let answer = attacked.record(&["more"]);
        assert_eq!(std::fs::read(&victim).ok().as_deref(), Some(content), "{answer:#?}");
    }
}

fn a_file_that_the_settings_name_is_left_alone(kind: Kind) {
    let place = Place::new(kind);
    place.session("first", 5);
    let foreign = handoff("example.com/another", 0, &[]);
    for content in [VICTIM, &foreign] {
        let attacked = place.copy().with("TRAILSEAL_HANDOFF__PATH", "victim");
        let victim = attacked.path(if kind == Kind::One { "victim" } else { "victim.0" });
        std::fs::write(&victim, content).unwrap();
        let answer = attacked.record(&["more"]);
        assert_eq!(std::fs::read(&victim).ok().as_deref(), Some(content), "{answer:#?}");
        answer.refused(&["victim"]);
    }
}
