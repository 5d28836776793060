//! Whatever `trail.toml` says: what is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_core::Manifest;

fuzz_target!(|text: &str| {
    if let Ok(manifest) = Manifest::parse(text) {
        assert_eq!(Manifest::parse(&manifest.to_toml()).expect("what was written reads back"), manifest);
    }
});
