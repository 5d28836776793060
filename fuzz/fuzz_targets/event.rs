//! Whatever a client sends: an event that is taken becomes one line of valid JSON that reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_event::complete::complete;
use trailseal_event::line::{Compared, LINE_BYTES_MAX, same_content, write_front, write_rest};
use trailseal_event::{Event, Timestamp};

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = Event::from_json(bytes) else { return };
    let now = Timestamp::from_micros(1_795_000_000_000_000);
    let mut line = Vec::new();
    write_front(7, &now.to_text(), &mut line);
    write_rest(&event, &complete(&event, now), &mut line).expect("an event that was taken has an action");
    assert!(line.len() <= LINE_BYTES_MAX);
    assert!(!line.contains(&b'\n'));
    let value: serde_json::Value = serde_json::from_slice(&line).expect("a line is valid JSON");
    assert!(value["action"].is_string());
    let recorded = Event::from_line(&line).expect("a line reads back");
    assert!(!recorded.system, "nothing that a client sends makes an event the trail's own");
    if line.len() < LINE_BYTES_MAX / 2 && recorded.truncated.is_empty() {
        assert!(same_content(&event, &line, Compared::default()), "the same event is a repeat");
    }
});
