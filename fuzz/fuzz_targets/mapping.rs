//! Any text is a mapping or an error with a line; a mapping takes any record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_event::Value;
use trailseal_import::Mapping;

/// A record with something at most places that mappings name.
const RECORD: &[u8] =
    br#"{"a":{"b":[1,{"c":"{\"d\":2}"}]},"eventName":"x","verb":"get","code":403,"time":"2024-01-01"}"#;

fuzz_target!(|text: &str| {
    match Mapping::parse(text) {
        Ok(mapping) => {
            let Ok(record) = Value::parse(RECORD) else { return };
            assert!(!mapping.apply(record).action.is_empty());
        }
        Err(error) => assert!(error.line >= 1 && !error.message.is_empty()),
    }
});
