//! A tile path has one spelling, and the bytes of a tile one reading.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_tlog::TileId;

fuzz_target!(|bytes: &[u8]| {
    let (path, content) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    let Ok(path) = std::str::from_utf8(path) else { return };
    let Ok(tile) = TileId::parse(path) else { return };
    assert_eq!(tile.path(), path);
    assert!((1..=256).contains(&tile.width));
    if let Ok(hashes) = tile.decode(content) {
        assert_eq!(hashes.len(), usize::from(tile.width));
        assert_eq!(TileId::encode(&hashes), content);
    }
});
