//! A checkpoint that is read is written the same, and no key believes one that it did not sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_tlog::{Checkpoint, SigningKey};

fuzz_target!(|text: &str| {
    let body = text.find("\n\n").map_or(text, |at| &text[..=at]);
    let Ok(checkpoint) = Checkpoint::parse(body) else { return };
    // Extension lines are passed over, so only the first three lines come back.
    assert!(body.starts_with(&checkpoint.to_text()));
    // A key that no seed was signed with.
    let stranger = SigningKey::from_seed(checkpoint.origin.as_str(), &[0xa5; 32]);
    let public = stranger.verifying_key();
    assert!(Checkpoint::open(text, &checkpoint.origin, std::slice::from_ref(&public)).is_err());
    let signed = checkpoint.sign(&stranger);
    let opened = Checkpoint::open(&signed, &checkpoint.origin, &[public]);
    assert_eq!(opened.map(|(opened, _)| opened), Ok(checkpoint));
});
