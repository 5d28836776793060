//! The handoff as an operator meets it: files of theirs that have its name, odd paths, and what is told when it is gone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Lines, Place, Running, Said, wait_until};

const THESIS: &str = "my thesis, of which there is no copy\n";

/// `record` with the handoff at `handoff`, started in `folder`, for the trail of `place`.
fn record_with(place: &Place, folder: &Path, handoff: &OsStr) -> Command {
    let mut command = place.command(&["record", "--json", "--dir"]);
    command.arg(place.path("trail")).current_dir(folder).env("TRAILSEAL_HANDOFF__PATH", handoff);
    command
}

/// Feeds events as fast as they are taken and kills the process when some were answered. Returns the ids of all events
/// that were answered.
fn killed_amid_events(command: &mut Command, round: usize) -> Vec<String> {
    killed_after(command, round, |_| {})
}

/// The same, with something done after the first answers.
fn killed_after(command: &mut Command, round: usize, amid: impl FnOnce(&Said)) -> Vec<String> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running(child.spawn().unwrap());
    let said = Said::of(child.0.stderr.take().unwrap());
    let mut input = child.0.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        for number in 0.. {
            let event = format!("{{\"action\":\"odd\",\"id\":\"{round}-{number}\"}}\n");
            if input.write_all(event.as_bytes()).is_err() {
                return;
            }
        }
    });
    let lines = Lines::of(child.0.stdout.take().unwrap());
    let mut receipts: Vec<String> = (0..2_000).map(|_| lines.wait()).collect();
    amid(&said);
    receipts.extend((0..2_000).map(|_| lines.wait()));
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    receipts.extend(std::iter::from_fn(|| lines.next()));
    feeder.join().unwrap();
    let receipts = receipts.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    receipts.filter_map(|receipt| Some(receipt["id"].as_str()?.to_owned())).collect()
}

/// Whether so many rounds of kills were enough: a fast disk may have everything before each of the first few.
fn has_shown_enough(round: usize, rounds_min: usize, from_handoff: u64) -> bool {
    assert!(round < 60, "nothing was in the handoff alone: the rounds say nothing");
    round >= rounds_min && from_handoff > 0
}

/// The details of the newest `trail.opened`.
fn opened(place: &Place) -> serde_json::Value {
    let words = ["query", "--system", "--action", "trail.opened", "--format", "jsonl", "--limit", "1"];
    place.run_all(&words).ok().json()["details"].clone()
}

fn recorded_ids(place: &Place) -> BTreeSet<String> {
    let found = place.run("query --action odd --format jsonl").ok();
    found.field("id").into_iter().collect()
}

#[test]
fn a_file_of_somebody_elses_in_the_handoffs_place_is_refused_and_left() {
    let place = Place::with_events(&["before"]);
    place.write("thesis", THESIS);
    place.write("thesis.tmp", THESIS);
    place.write("trailseal.toml", "[handoff]\npath = \"thesis\"\n");
    place.feed("record", "{\"action\":\"a\"}\n").could_not(&["thesis", "move it away", "handoff.path"]);
    // Also an empty one: it may be another program's lock.
    place.write("thesis", "");
    place.feed("record", "{\"action\":\"a\"}\n").could_not(&["thesis", "move it away"]);
    std::fs::remove_file(place.path("thesis")).unwrap();
    std::os::unix::fs::symlink("thesis.tmp", place.path("thesis")).unwrap();
    place.feed("record", "{\"action\":\"a\"}\n").could_not(&["thesis", "move it away"]);
    std::fs::remove_file(place.path("thesis")).unwrap();
    place.record("{\"action\":\"a\"}");
    assert_eq!(place.read("thesis.tmp"), THESIS);

    place.write("trail/handoff", THESIS);
    place.write("trail/handoff.tmp", THESIS);
    std::fs::remove_file(place.path("trailseal.toml")).unwrap();
    place.feed("record", "{\"action\":\"a\"}\n").could_not(&["trail/handoff", "move it away"]);
    assert_eq!(place.read("trail/handoff"), THESIS);
    std::fs::rename(place.path("trail/handoff"), place.path("aside")).unwrap();
    place.record("{\"action\":\"b\"}");
    assert_eq!(place.read("trail/handoff.tmp"), THESIS);
}

#[test]
fn another_trails_handoff_is_refused_and_left() {
    let place = Place::with_events(&["before"]);
    let handoff = place.path("shared").into_os_string();
    let mut other = place.command(&["record", "--json", "--dir", "other"]);
    other.env("TRAILSEAL_HANDOFF__PATH", &handoff);
    let accepted = killed_amid_events(&mut other, 0);
    let before = std::fs::read(place.path("shared")).unwrap();
    let mut command = record_with(&place, &place.path(""), &handoff);
    command.stdin(Stdio::null());
    support::Answer::of(command, b"").could_not(&["shared", "move it away"]);
    assert!(std::fs::read(place.path("shared")).unwrap() == before, "it is as it was");
    place.feed("record --dir other", "").ok();
    let found = place.run("query --dir other --action odd --format jsonl").ok().field("id");
    assert!(accepted.iter().all(|id| found.contains(id)));
}

#[test]
fn a_file_that_the_lock_file_names_is_left_and_told() {
    let place = Place::with_events(&["before"]);
    place.write("thesis", THESIS);
    let thesis = place.path("thesis");
    place.write(
        "trail/lock",
        format!("host = \"h\"\nboot = \"b\"\npid = 1\nhandoff = \"{}\"\n", thesis.display()),
    );
    let answer = place.feed("record", "{\"action\":\"a\"}\n").ok();
    assert_eq!(place.read("thesis"), THESIS);
    assert!(answer.err.contains("thesis") && answer.err.contains("is not there"), "{answer:#?}");
    assert_eq!(opened(&place)["handoff_missing"], thesis.to_str().unwrap());
}

#[test]
fn an_emptied_handoff_in_the_trails_own_folder_is_made_anew() {
    let place = Place::with_events(&["before"]);
    place.write("trail/handoff", "");
    place.record("{\"action\":\"after\"}");
    assert_eq!(place.run("query --count").ok().out.trim(), "2");
}

#[test]
fn whatever_the_path_all_that_was_accepted_is_found_again_by_another_path() {
    let place = Place::new();
    let odd: [&[u8]; 7] = [
        b"ordinary",
        b"quo\"te",
        b"back\\slash\\",
        b"tab\there",
        "e\u{301}".as_bytes(),
        b"new\nline",
        b"\xff\xfe",
    ];
    let mut from_handoff = 0;
    for (round, name) in odd.into_iter().cycle().enumerate() {
        if has_shown_enough(round, odd.len(), from_handoff) {
            break;
        }
        // The folder has the odd name, and the path in the settings is relative: they are UTF-8, and folders need not be.
        let folder: PathBuf = place.path("").join(OsString::from_vec(name.to_vec()));
        std::fs::create_dir_all(&folder).unwrap();
        let accepted = killed_amid_events(&mut record_with(&place, &folder, OsStr::new("h")), round);
        assert!(folder.join("h").exists());
        // What readers see without an opening, and what the opening keeps.
        let seen = recorded_ids(&place);
        place.feed("record", "{\"action\":\"last\"}\n").ok();
        let kept = recorded_ids(&place);
        for id in &accepted {
            assert!(
                seen.contains(id) && kept.contains(id),
                "{id} is lost, of {} with {folder:?}",
                accepted.len()
            );
        }
        assert!(!folder.join("h").exists(), "it must never be replayed again");
        from_handoff += opened(&place)["from_handoff"].as_u64().unwrap();
    }
    place.run("verify").ok();
}

#[test]
fn a_relative_path_survives_the_next_opening() {
    let place = Place::new();
    place.write("trailseal.toml", "[handoff]\npath = \"h\"\n");
    for round in 0..2 {
        killed_amid_events(&mut record_with(&place, &place.path(""), OsStr::new("h")), round);
    }
    let mut child = Running(place.command(&["record"]).stdin(Stdio::piped()).spawn().unwrap());
    let opens = || place.run("query --system --action trail.opened --count").ok().out.trim() == "3";
    wait_until("it is open", opens);
    assert!(place.path("h").exists(), "the handoff that is in use is not taken for an old one");
    drop(child.0.stdin.take());
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn a_named_handoff_that_is_not_there_is_told_unless_nothing_needed_it() {
    for name in ["elsewhere", "trail/handoff"] {
        let place = Place::with_events(&["before"]);
        killed_amid_events(&mut record_with(&place, &place.path(""), place.path(name).as_os_str()), 0);
        std::fs::remove_file(place.path(name)).unwrap();
        let answer = place.feed("record", "{\"action\":\"a\"}\n").ok();
        assert!(answer.err.contains(name) && answer.err.contains("is not there"), "{answer:#?}");
        let details = opened(&place);
        assert!(details["handoff_missing"].as_str().unwrap().ends_with(name), "{details}");
        assert_eq!(details["clean"], false);
        // That opening was closed properly.
        let answer = place.feed("record", "{\"action\":\"a\"}\n").ok();
        assert!(!answer.err.contains("is not there"), "{answer:#?}");
        assert!(opened(&place)["handoff_missing"].is_null());
    }
}

#[test]
fn a_handoff_that_is_removed_or_replaced_is_made_anew_and_nothing_accepted_is_lost() {
    let place = Place::new();
    let handoff = place.path("trail/handoff");
    let mut from_handoff = 0;
    for round in 0.. {
        if has_shown_enough(round, 6, from_handoff) {
            break;
        }
        let take_away = |said: &Said| {
            match round % 3 {
                0 => std::fs::remove_file(&handoff).unwrap(),
                // It lives on under another name.
                1 => std::fs::rename(&handoff, place.path("aside")).unwrap(),
                _ => {
                    std::fs::copy(&handoff, place.path("copy")).unwrap();
                    std::fs::rename(place.path("copy"), &handoff).unwrap();
                }
            }
            said.wait("it was recreated");
        };
        let mut command = place.command(&["record", "--json"]);
        let accepted = killed_after(&mut command, round, take_away);
        place.feed("record", "").ok();
        let kept = recorded_ids(&place);
        let lost: Vec<_> = accepted.iter().filter(|id| !kept.contains(*id)).collect();
        assert!(lost.is_empty(), "round {round}: {} of {} are lost", lost.len(), accepted.len());
        from_handoff += opened(&place)["from_handoff"].as_u64().unwrap();
    }
    place.run("verify").ok();
}

#[test]
fn a_foreign_file_in_the_place_of_a_living_handoff_is_left_and_told_until_it_is_moved() {
    let place = Place::new();
    let handoff = place.path("trail/handoff");
    let mut child = Running(place.command(&["record"]).stdin(Stdio::piped()).spawn().unwrap());
    let said = Said::of(child.0.stderr.take().unwrap());
    wait_until("the handoff is there", || handoff.exists());
    place.write("thesis", THESIS);
    std::fs::rename(place.path("thesis"), &handoff).unwrap();
    said.wait("another file is there");
    let mut input = child.0.stdin.take().unwrap();
    input.write_all(b"{\"action\":\"odd\"}\n").unwrap();
    wait_until("the event is on disk", || recorded_ids(&place).len() == 1);
    assert_eq!(place.read("trail/handoff"), THESIS);
    std::fs::rename(&handoff, place.path("thesis")).unwrap();
    said.wait("it was recreated");
    drop(input);
    assert!(child.0.wait().unwrap().success());
    let counts = place.run("query --system --action trail.counts --format jsonl").ok().json();
    assert_eq!(counts["details"]["handoffs_remade"], 1, "{counts}");
    place.run("verify").ok();
}

#[test]
fn a_handoff_that_is_truncated_may_kill_the_process_and_what_is_on_disk_stays() {
    let place = Place::with_events(&["before"]);
    let mut child = Running(place.command(&["record"]).stdin(Stdio::piped()).spawn().unwrap());
    let mut input = child.0.stdin.take().unwrap();
    input.write_all(b"{\"action\":\"odd\"}\n").unwrap();
    wait_until("the event is on disk", || recorded_ids(&place).len() == 1);
    // Stopped, so that the next event comes before the writer looks at its files.
    let process = rustix::process::Pid::from_child(&child.0);
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    std::fs::File::options().write(true).open(place.path("trail/handoff")).unwrap().set_len(0).unwrap();
    input.write_all(&b"{\"action\":\"late\"}\n".repeat(1_000)).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
    drop(input);
    let status = child.0.wait().unwrap();
    // A writer that looks first makes it anew.
    let is_killed =
        std::os::unix::process::ExitStatusExt::signal(&status) == Some(rustix::process::Signal::BUS.as_raw());
    assert!(is_killed || status.success(), "{status}");
    place.feed("record", "{\"action\":\"odd\"}\n").ok();
    assert_eq!(recorded_ids(&place).len(), 2);
    place.run("verify").ok();
}

/// A copy has the origin of its original, and a lock file that names the original's handoff.
#[test]
fn a_copy_of_the_folder_leaves_the_originals_handoff_alone() {
    let place = Place::new();
    let handoff = place.path("shared");
    let mut accepted = killed_amid_events(&mut record_with(&place, &place.path(""), handoff.as_os_str()), 0);
    place.copy("trail", "copy");
    let before = std::fs::read(&handoff).unwrap();
    let is_left = || assert!(std::fs::read(&handoff).unwrap() == before, "it is as it was");
    place.run("verify --dir copy").ok();
    let read = place.run("query --dir copy --action odd --count").ok().out;
    let opened = || place.feed("record --dir copy", "{\"action\":\"a\"}\n");
    opened().could_not(&["shared", "in another folder", "copy/handoff", "remove the file `lock`"]);
    is_left();
    std::fs::remove_file(place.path("copy/lock")).unwrap();
    opened().ok();
    is_left();
    assert_eq!(
        place.run("query --dir copy --action odd --count").ok().out,
        read,
        "what was read is what it has"
    );
    let mut command = place.command(&["record", "--dir", "copy"]);
    command.env("TRAILSEAL_HANDOFF__PATH", &handoff).stdin(Stdio::null());
    support::Answer::of(command, b"").could_not(&[
        "shared",
        "in another folder",
        "copy/handoff",
        "handoff.path",
    ]);
    is_left();

    // The original goes on, also under another name, and while it writes the copy is no nearer to its handoff.
    std::fs::rename(place.path("trail"), place.path("renamed")).unwrap();
    place.feed("record --dir renamed", "").ok();
    std::fs::rename(place.path("renamed"), place.path("trail")).unwrap();
    let beside = |_: &Said| {
        place.copy("trail", "second");
        place.feed("record --dir second", "{\"action\":\"a\"}\n").could_not(&["in another folder"]);
        assert!(handoff.exists());
    };
    accepted.extend(killed_after(&mut record_with(&place, &place.path(""), handoff.as_os_str()), 1, beside));
    place.feed("record", "").ok();
    let kept = recorded_ids(&place);
    let lost: Vec<_> = accepted.iter().filter(|id| !kept.contains(*id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), accepted.len());
    for dir in ["trail", "copy"] {
        place.run(&format!("verify --dir {dir}")).ok();
    }
}

/// The way on that the refusal shows, and a folder that was restored to its path.
#[test]
fn a_folder_that_takes_the_place_of_another_gets_its_handoff() {
    for is_restored in [true, false] {
        let place = Place::new();
        let handoff = place.path("shared");
        let accepted = killed_amid_events(&mut record_with(&place, &place.path(""), handoff.as_os_str()), 0);
        place.copy("trail", "copy");
        std::fs::remove_dir_all(place.path("trail")).unwrap();
        if is_restored {
            std::fs::rename(place.path("copy"), place.path("trail")).unwrap();
        } else {
            std::fs::rename(&handoff, place.path("copy/handoff")).unwrap();
        }
        let dir = if is_restored { "trail" } else { "copy" };
        place.feed(&format!("record --dir {dir}"), "").ok();
        let kept = place.run(&format!("query --dir {dir} --action odd --format jsonl")).ok().field("id");
        assert!(accepted.iter().all(|id| kept.contains(id)), "{dir}: {} of {}", kept.len(), accepted.len());
        assert!(!handoff.exists());
    }
}

/// Both were copied, so the original's handoff is another file.
#[test]
fn a_copied_handoff_goes_with_the_copied_folder() {
    let place = Place::new();
    let handoff = place.path("shared");
    let accepted = killed_amid_events(&mut record_with(&place, &place.path(""), handoff.as_os_str()), 0);
    place.copy("trail", "copy");
    std::fs::copy(&handoff, place.path("copied")).unwrap();
    // The lock file still names the original's.
    std::fs::remove_file(place.path("copy/lock")).unwrap();
    let before = std::fs::read(&handoff).unwrap();
    let mut command = place.command(&["record", "--dir", "copy"]);
    command.env("TRAILSEAL_HANDOFF__PATH", place.path("copied")).stdin(Stdio::null());
    support::Answer::of(command, b"").ok();
    assert!(std::fs::read(&handoff).unwrap() == before, "it is as it was");
    for dir in ["copy", "trail"] {
        place.feed(&format!("record --dir {dir}"), "").ok();
        let kept = place.run(&format!("query --dir {dir} --action odd --format jsonl")).ok().field("id");
        assert!(accepted.iter().all(|id| kept.contains(id)), "{dir}: {} of {}", kept.len(), accepted.len());
    }
}
