//! A signed note that is read is written the same, byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_tlog::{KeyRing, Origin, SignedNote, SigningKey, VerifyingKey};

fuzz_target!(|text: &str| {
    if let Ok(key) = VerifyingKey::parse(text.trim_end()) {
        assert_eq!(VerifyingKey::parse(&key.to_string()), Ok(key));
    }
    let Ok(note) = SignedNote::parse(text) else { return };
    assert_eq!(note.to_string(), text);
    let Ok(origin) = Origin::new(&note.signatures()[0].name) else { return };
    // A key that no seed was signed with is not in it, and vouches for nobody.
    let stranger = SigningKey::from_seed(origin.as_str(), &[0xa5; 32]).verifying_key();
    assert!(note.verify(std::slice::from_ref(&stranger)).is_err());
    let mut ring = KeyRing::new(origin, std::slice::from_ref(&stranger));
    assert!(ring.learn(&note).is_ok() && ring.rotations().is_empty());
    assert!(ring.open(text).is_err());
});
