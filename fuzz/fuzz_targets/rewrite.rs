//! Whatever a client sends: the fast way from text to line writes what the slow way writes, or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_event::complete::{Stamp, complete};
use trailseal_event::line::write_rest;
use trailseal_event::{Event, Timestamp, rewrite};

fuzz_target!(|bytes: &[u8]| {
    let now = Timestamp::from_micros(1_795_000_000_000_000);
    let mut fast = Vec::new();
    let Some(rewritten) = rewrite(bytes, now, |key, _| key == "password", &mut fast) else {
        assert!(fast.is_empty(), "nothing is written by a no");
        return;
    };
    let (event, warnings) = Event::from_json_told(bytes, false).expect("what the fast way takes is an event");
    assert!(warnings.is_empty(), "what is to be told of is left to the slow way");
    assert_eq!(rewritten.has_own_names, Event::from_json_told(bytes, true).is_err());
    let stamp = Stamp { id: rewritten.id.clone(), ..complete(&event, now) };
    let mut slow = Vec::new();
    write_rest(&event, &stamp, &mut slow).expect("it has an action");
    assert_eq!(String::from_utf8(fast), String::from_utf8(slow));
    assert_eq!(rewritten.action, event.action.as_str());
    assert_eq!(rewritten.is_id_given, event.id.is_some());
});
