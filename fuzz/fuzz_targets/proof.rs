//! An inclusion proof that is read is written the same; checking it ends, whatever it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_tlog::{TlogProof, empty_root};

fuzz_target!(|text: &str| {
    let Ok(proof) = TlogProof::parse(text) else { return };
    assert_eq!(proof.to_text(), text);
    for size in [0, 1, proof.index, proof.index.saturating_add(1), u64::MAX] {
        // No preimage of the empty root is known.
        assert!(proof.verify_line(b"a line", size, &empty_root()).is_err());
    }
});
