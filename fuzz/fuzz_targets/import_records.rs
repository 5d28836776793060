//! Any bytes are read to their end, by every built-in mapping, the same way twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_import::mapping::BUILT_IN;
use trailseal_import::{Mapping, read};

fuzz_target!(|bytes: &[u8]| {
    for mapping in BUILT_IN.iter().filter_map(|(format, _)| Mapping::builtin(format)) {
        let mut ids = std::collections::HashSet::new();
        for imported in read(bytes, mapping).flatten() {
            assert!(!imported.event.action.is_empty());
            assert!(ids.insert(imported.event.id), "an id came twice");
        }
        assert!(read(bytes, mapping).eq(read(bytes, mapping)));
    }
});
