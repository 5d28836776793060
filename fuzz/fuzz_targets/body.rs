//! Whatever a body holds, packed or not: it is refused, or cut into the texts of its events, within its limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use trailseal_server::fuzzing::events_of;

const BYTES_MAX: usize = 64 << 10;

fuzz_target!(|input: (u8, &[u8])| {
    let (encoding, body) = input;
    let encoding = ["identity", "gzip", "zstd"][usize::from(encoding % 3)];
    let Some(texts) = events_of(encoding, body, BYTES_MAX) else { return };
    assert!(!texts.is_empty());
    assert!(texts.iter().all(|text| !text.is_empty() && text.trim_ascii() == text));
    let bytes = texts.iter().map(Vec::len).sum::<usize>();
    assert!(bytes <= if encoding == "identity" { body.len() } else { BYTES_MAX });
    if texts.iter().all(|text| text.starts_with(b"{")) {
        assert_eq!(events_of("identity", &texts.join(&b'\n'), usize::MAX), Some(texts.clone()), "as lines");
    }
    if encoding == "identity"
        && let Ok(values) = serde_json::from_slice::<Vec<&RawValue>>(body)
    {
        assert!(values.iter().map(|value| value.get().as_bytes()).eq(texts.iter().map(Vec::as_slice)));
    }
});
