//! What personal values cost `record()`, beside the same events without a rule; and an opening with many people.

use std::path::Path;
use std::time::{Duration, Instant};

use trailseal_core::Trail;
use trailseal_event::Event;
use trailseal_event::policy::Policy;

use trailseal_benches_report::names;

use crate::load;
use crate::own::{CLOSE, fresh, options};

/// Calls a second.
const PACE: u64 = 50_000;
/// How often the trails take turns.
const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_secs(1);
/// People whose keys an opening reads.
const PEOPLE: u64 = 1_000_000;

const TWO_FIELDS: &str = "[[personal]]\nfields = [\"actor.email\", \"context.ip\"]\nsubject = \"actor.id\"\n";
const SEARCHABLE: &str = "searchable = true\n";

/// An event with two values that are personal where a rule says so.
fn event(number: u64) -> Event {
    let mut event = load::event(number);
    if let Some(actor) = &mut event.actor {
        actor.email = Some("ann.lee@example.com".into());
    }
    event
}

fn open(dir: &Path, name: &str, rules: &str) -> Trail {
    let mut options = options();
    options.policy = Policy::from_toml(rules).expect("a policy");
    Trail::open(fresh(dir, name), options).expect("opens")
}

/// Trails take turns, so that all of them meet the same machine. Each person's first event comes before what counts; that
/// of a new person is measured for itself.
pub fn cost(dir: &Path) {
    let searchable = format!("{TWO_FIELDS}{SEARCHABLE}");
    let kinds =
        [("none", ""), (names::PERSONAL_TWO_FIELDS, TWO_FIELDS), ("two searchable fields", &*searchable)];
    let trails = kinds.map(|(name, rules)| open(dir, &format!("personal {name}"), rules));
    let call = |trail: &Trail, event: &Event| drop(trail.record(event));
    for trail in &trails {
        (0..5_000).for_each(|number| call(trail, &event(number)));
        trail.flush(CLOSE).expect("everything is on disk");
    }
    let mut medians = [const { Vec::new() }; 3];
    let mut added = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let turn = |trail: &Trail| {
            load::paced(PACE, TURN, event, |event| call(trail, event)).value_at_quantile(0.5) as f64
        };
        let turns: Vec<f64> = trails.iter().map(turn).collect();
        for (place, median) in turns.iter().enumerate() {
            medians[place].push(*median);
            added[place].push(median - turns[0]);
        }
    }
    for (place, (name, _)) in kinds.iter().enumerate() {
        let numbers = [("p50_ns", median(&mut medians[place])), ("added_p50_ns", median(&mut added[place]))];
        load::print(&names::personal(name), &numbers);
    }
    let new_person = |number: u64| event(number).actor(format!("new-{number}"));
    let histogram = load::paced(5_000, TURN * 2, new_person, |event| call(&trails[1], event));
    load::print(&names::personal("each of a new person"), &load::percentiles(&histogram));
    for trail in trails {
        trail.close(CLOSE).expect("closes");
    }
    for (name, _) in kinds {
        let _ = std::fs::remove_dir_all(dir.join(format!("personal {name}")));
    }
}

/// Opening with the keys of 1,000,000 people, beside opening a trail with the same lines and no keys.
pub fn opening(dir: &Path) {
    for (name, rules) in [("no keys", ""), (names::MILLION_PEOPLE, TWO_FIELDS)] {
        let trail = open(dir, "personal opening", rules);
        for number in 0..PEOPLE {
            trail.record(&event(number).actor(format!("person-{number}"))).expect("accepted");
        }
        trail.close(CLOSE).expect("closes");
        let mut times: Vec<f64> = (0..5)
            .map(|_| {
                let mut options = options();
                options.policy = Policy::from_toml(rules).expect("a policy");
                let at = Instant::now();
                let trail = Trail::open(dir.join("personal opening"), options).expect("opens");
                let taken = at.elapsed().as_secs_f64() * 1e3;
                trail.close(CLOSE).expect("closes");
                taken
            })
            .collect();
        let (rss, _) = load::memory_mib();
        load::print(&names::open_with_people(name), &[("p50_ms", median(&mut times)), ("rss_mib", rss)]);
    }
    let _ = std::fs::remove_dir_all(dir.join("personal opening"));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
