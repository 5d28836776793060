//! Whatever a line or a key file holds: revealing it leaves JSON, a token has one form, and a slot is what its bytes say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_core::{KeyFileHeader, KeySlot};
use trailseal_event::personal::{Key, KeyName, PersonalKeys, SubjectKey, Token, reveal, searchable, tokens};
use trailseal_event::{Event, Value};

/// Has every key.
struct Every;

impl PersonalKeys for Every {
    fn key(&self, name: KeyName) -> Key {
        SubjectKey::new(name, &[7; 32]).map_or(Key::Missing, |key| Key::Kept(key.into()))
    }
}

fuzz_target!(|input: (&[u8], u64)| {
    let (bytes, number) = input;
    let without = reveal(bytes, None);
    let with = reveal(bytes, Some(&Every));
    if Value::parse(bytes).is_ok() {
        assert!(Value::parse(&without).is_ok() && Value::parse(&with).is_ok());
    }
    let mut found = 0;
    tokens(bytes, |_, pointer| {
        assert!(pointer.is_empty() || pointer.starts_with('/'));
        found += 1;
    });
    assert!(found > 0 || (*without == *bytes && *with == *bytes));
    let _ = Event::from_line(&without);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(token) = Token::parse(text)
    {
        assert!(text.starts_with(&format!("erasable:{}:", token.key)));
        assert_eq!(&*searchable(text), token.hash.unwrap_or("erasable"));
    }
    let _ = KeyFileHeader::parse(bytes);
    if let Some(slot) = bytes.first_chunk::<128>() {
        let _ = KeySlot::parse(slot, number);
    }
});
