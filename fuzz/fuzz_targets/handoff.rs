//! Whatever a handoff file holds: replay ends, and takes only whole lines in unbroken order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_core::replay;

fuzz_target!(|input: (u64, u64, Vec<u8>)| {
    let (tail, next, ring) = input;
    let next = next % 1_000;
    let mut file = vec![0; 4096];
    file[..8].copy_from_slice(b"TSHAND01");
    file[8..16].copy_from_slice(&7u64.to_le_bytes());
    let capacity = ring.len().next_multiple_of(4096).max(4096);
    file[16..24].copy_from_slice(&(capacity as u64).to_le_bytes());
    file[64..72].copy_from_slice(&(tail & !7).to_le_bytes());
    file.extend_from_slice(&ring);
    file.resize(4096 + capacity, 0);
    let mut expected = next;
    let end = replay(&file, next, |index, line| {
        assert_eq!(index, expected);
        assert!(line.ends_with(b"\n"));
        expected += 1;
    });
    assert_eq!(end, expected);
    replay(&ring, next, |_, _| {});
});
