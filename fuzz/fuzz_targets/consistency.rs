//! A consistency proof that is read is written the same; checking it ends, whatever it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_tlog::{Checkpoint, ConsistencyProof, SignedNote, verify_consistency};

fuzz_target!(|text: &str| {
    let Ok(proof) = ConsistencyProof::parse(text) else { return };
    assert_eq!(proof.to_text(), text);
    let read = |note: &str| SignedNote::parse(note).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
    let (Some(old), Some(new)) = (read(&proof.old), read(&proof.new)) else { return };
    let forward = verify_consistency(old.size, &old.root, new.size, &new.root, &proof.hashes);
    let backward = verify_consistency(new.size, &new.root, old.size, &old.root, &proof.hashes);
    // A tree cannot both begin with another and be its beginning, unless they are the same.
    assert!(forward.is_err() || backward.is_err() || (old.size, old.root) == (new.size, new.root));
});
