//! Any bytes are read to their end, by every built-in mapping, the same way twice, and by several threads as by one.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use trailseal_event::Event;
use trailseal_import::mapping::BUILT_IN;
use trailseal_import::{Mapping, Reading, Records, Sample, read, read_in_order};

fuzz_target!(|bytes: &[u8]| {
    for mapping in BUILT_IN.iter().filter_map(|(format, _)| Mapping::builtin(format)) {
        let mut ids = std::collections::HashSet::new();
        for imported in read(bytes, mapping).flatten() {
            assert!(!imported.event.action.is_empty());
            assert!(ids.insert(imported.event.id), "an id came twice");
        }
        assert!(read(bytes, mapping).eq(read(bytes, mapping)));
    }
    let mut records = Records::of_any(bytes);
    let sample = Sample::of(&mut records);
    let Some((mapping, _)) = sample.detect() else { return };
    let reading = Reading { mapping, written: None };
    let mut texts = Vec::new();
    let read_all = read_in_order(Records::of(bytes, mapping), reading, 2, &mut |written| {
        texts.push(written.map(|written| Event::from_json(&written.json).expect("an event")));
        ControlFlow::Continue(())
    });
    read_all.expect("threads");
    assert!(texts.into_iter().eq(read(bytes, mapping).map(|one| one.map(|imported| imported.event))));
});
