//! Whatever lies in a segment: reading it as a line ends well.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_event::Event;
use trailseal_event::line::parse_front;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(recorded) = Event::from_line(bytes) {
        let front = parse_front(bytes).expect("what reads as a line has a front");
        assert_eq!((front.index, front.recorded), (recorded.index, recorded.recorded));
    }
});
