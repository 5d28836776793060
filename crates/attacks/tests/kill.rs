//! kill -9 inside openings, at random moments, in folders and with handoffs of odd names: nothing that was accepted or
//! answered is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use trailseal_attacks::{Kind, Place, Random, handoff};

/// Names that a line of text, a shell or a file system may take for something else.
const NAMES: [&str; 8] = [
    "plain",
    "a \"quoted\" one",
    "back\\slash\\n",
    "tab\tinside",
    "combi\u{301}ning",
    "new\nline\n",
    " blanks ",
    "handoff = \"x\"\npid = 1",
];
const KILLS_A_NAME: usize = 5;
const ACCEPTED: usize = 7;

#[test]
fn kills_inside_openings_lose_nothing_in_one_trail() {
    kill_openings(Kind::One);
}

#[test]
fn kills_inside_openings_lose_nothing_in_slots() {
    kill_openings(Kind::Slots);
}

fn kill_openings(kind: Kind) {
    let mut unfinished = 0;
    for (at, name) in NAMES.into_iter().enumerate() {
        let random = &mut Random::of_seed(at as u64 + if kind == Kind::One { 0 } else { 1_000 });
        let mut place = Place::named(kind, name);
        // A path of the handoff as it stands in settings: from the folder of the process on, or from the root on.
        let is_absolute = (at + usize::from(kind == Kind::One)).is_multiple_of(2);
        let start = if is_absolute { place.path("").to_str().unwrap().to_owned() } else { String::new() };
        unfinished += kills(&mut place, &format!("{start}{name}"), random);
    }
    assert!(unfinished > NAMES.len(), "only {unfinished} kills came before the end of an opening");
}

/// Returns how many kills came before the event that the opening was for was answered.
fn kills(place: &mut Place, name: &str, random: &mut Random) -> usize {
    let numbered = |number: usize| format!("{name}.{number}");
    place.set("TRAILSEAL_HANDOFF__PATH", &numbered(0));
    place.session("first", 3);
    let begun = Instant::now();
    place.session("timed", 1);
    let opening = begun.elapsed();
    let mut owed: BTreeSet<String> = place.killed_session("durable", 10).into_iter().collect();
    owed.extend(accept(place, &numbered(0)));

    let mut unfinished = 0;
    for kill in 0..KILLS_A_NAME {
        // The handoff moves on with each opening: the lock alone tells where the last one is.
        place.set("TRAILSEAL_HANDOFF__PATH", &numbered(kill + 1));
        let mut writer = place.writer();
        writer.send("{\"action\":\"more\"}");
        std::thread::sleep(Duration::from_micros(random.below(opening.as_micros() as usize) as u64));
        let answered = writer.kill();
        unfinished += usize::from(answered.is_empty());
        owed.extend(answered);
    }
    place.set("TRAILSEAL_HANDOFF__PATH", &numbered(KILLS_A_NAME + 1));
    let answer = place.record(&["last"]);
    assert_eq!(answer.code, Some(0), "{name:?}: {answer:#?}");
    owed.extend(answer.ids());
    let lines: Vec<String> =
        place.trail().lines().iter().map(|line| String::from_utf8(line.clone()).unwrap()).collect();
    let holds = |id: &String| lines.iter().any(|line| line.contains(&format!("\"id\":\"{id}\"")));
    let lost: Vec<&String> = owed.iter().filter(|id| !holds(id)).collect();
    assert!(lost.is_empty(), "{name:?}: {} of {} are lost: {lost:?}", lost.len(), owed.len());
    let verdict = place.verify(&place.trail().key().public(), None);
    assert_eq!(verdict.code, Some(0), "{name:?}: {verdict:#?}");
    unfinished
}

/// Puts events into the handoff of a writer that was killed, as if it had accepted them and not yet written them.
fn accept(place: &Place, path: &str) -> Vec<String> {
    let lines = place.trail().lines();
    let last = String::from_utf8(lines.last().unwrap().clone()).unwrap();
    let recorded = last.split("\"recorded\":\"").nth(1).unwrap().split('"').next().unwrap();
    let ids: Vec<String> = (0..ACCEPTED).map(|number| format!("accepted-{number}")).collect();
    let line = |(id, index): (&String, usize)| {
        format!(
            "{{\"v\":1,\"index\":{index},\"recorded\":\"{recorded}\",\"id\":\"{id}\",\"time\":\"{recorded}\",\
             \"category\":\"custom:other\",\"action\":\"accepted\",\"severity\":\"info\",\"outcome\":\"success\"}}"
        )
        .into_bytes()
    };
    let accepted: Vec<Vec<u8>> = ids.iter().zip(lines.len()..).map(line).collect();
    let path = place.path(&if place.kind == Kind::One { path.to_owned() } else { format!("{path}.0") });
    assert!(path.exists(), "the killed writer's handoff is at {path:?}");
    std::fs::write(path, handoff(&place.origin(), lines.len() as u64, &accepted)).unwrap();
    ids
}
