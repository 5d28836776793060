//! Whatever a filter is given: it is understood or refused, in bounded time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_event::Timestamp;
use trailseal_event::filter::{FILTER_NAMES, Filter, glob_matches};

fuzz_target!(|input: (u8, String, String)| {
    let (name, value, text) = input;
    let mut filter = Filter::default();
    let name = FILTER_NAMES[usize::from(name) % FILTER_NAMES.len()];
    let _ = filter.set(name, &value, Timestamp::from_micros(1_795_000_000_000_000));
    if value.len() < 200 && text.len() < 2_000 {
        let _ = glob_matches(&value, &text);
    }
});
