//! The right edge at every size, tile paths, and notes that a foreign crate has signed.

use proptest::prelude::*;
use signed_note::{Note, Signer as _, StandardSigner};
use trailseal_tlog::{
    Hash, SignedNote, SigningKey, TileEdge, TileId, leaf_hash, node_hash, subtree_root, tiles_for_size,
};

fn leaf(number: usize) -> Hash {
    leaf_hash(&number.to_be_bytes())
}

/// RFC 6962, section 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => trailseal_tlog::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// The edge of a tree of `size` leaves, and the hashes that it handed out on the way, with their levels.
fn grow(edge: &mut TileEdge, size: usize) -> Vec<(u8, Hash)> {
    let mut added = Vec::new();
    for number in edge.size() as usize..size {
        edge.push(leaf(number), &mut |level, hash| added.push((level, *hash)));
    }
    added
}

#[test]
fn the_root_is_right_at_every_size_to_2000() {
    let leaves: Vec<Hash> = (0..2000).map(leaf).collect();
    let mut edge = TileEdge::new();
    for size in 0..=leaves.len() {
        grow(&mut edge, size);
        let expected = naive_root(&leaves[..size]);
        assert_eq!(edge.root(), expected, "{size}");
        assert_eq!(subtree_root(&leaves[..size]), expected, "{size}");
    }
}

#[test]
fn an_edge_read_back_from_its_partial_tiles_goes_on_like_the_first() {
    for size in [0, 1, 255, 256, 257, 511, 512, 65_279, 65_535, 65_536, 65_537, 65_792] {
        let mut first = TileEdge::new();
        grow(&mut first, size);
        let mut partials = vec![Vec::new(); 8];
        for (tile, hashes) in first.partials() {
            assert_eq!(hashes.len(), usize::from(tile.width));
            partials[usize::from(tile.level)] = tile.decode(&TileId::encode(hashes)).unwrap();
        }
        let mut second = TileEdge::from_partials(size as u64, partials.clone()).unwrap();
        assert_eq!(second.root(), first.root(), "{size}");
        assert_eq!(grow(&mut first, size + 600), grow(&mut second, size + 600), "{size}");
        assert_eq!(second.root(), first.root(), "{size}");

        partials[0].push(leaf(0));
        assert!(TileEdge::from_partials(size as u64, partials).is_err(), "{size}");
    }
}

#[test]
fn each_hash_comes_once_lowest_level_first_and_is_the_right_node() {
    let leaves: Vec<Hash> = (0..65_800).map(leaf).collect();
    let added = grow(&mut TileEdge::new(), leaves.len());
    for (level, span) in [(0, 1), (1, 256), (2, 65_536)] {
        let found: Vec<Hash> = added.iter().filter(|(at, _)| *at == level).map(|(_, hash)| *hash).collect();
        let nodes: Vec<Hash> = leaves.chunks_exact(span).map(naive_root).collect();
        assert_eq!(found, nodes, "level {level}");
        assert_eq!(found.len() as u64, trailseal_tlog::hashes_in_level(65_800, level));
    }
    let levels: Vec<u8> = added[65_535 + 255..65_535 + 259].iter().map(|(level, _)| *level).collect();
    assert_eq!(levels, [0, 1, 2, 0]);
}

/// The example of c2sp.org/tlog-tiles, and the sizes around a full tile.
#[test]
fn partial_tiles_of_a_size() {
    let check = |size: u64, expected: &[&str]| {
        let paths: Vec<String> = tiles_for_size(size).map(|tile| tile.path()).collect();
        assert_eq!(paths, expected, "{size}");
    };
    check(0, &[]);
    check(1, &["tile/0/000.p/1"]);
    check(256, &["tile/1/000.p/1"]);
    check(70_000, &["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    check(1 << 63, &["tile/7/000.p/128"]);
    assert_eq!(tiles_for_size(u64::MAX).count(), 8);
}

#[test]
fn a_tile_path_has_one_spelling() {
    for good in ["tile/0/000", "tile/63/x001/x234/067", "tile/1/999.p/255", "tile/7/x001/000.p/1"] {
        assert_eq!(TileId::parse(good).map(|tile| tile.path()).as_deref(), Ok(good));
    }
    for bad in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/1000",
        "tile/0/xx01/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/entries/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert!(TileId::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_note_signed_by_a_foreign_crate_with_our_key_is_believed() {
    let key = SigningKey::from_seed("example.com/log", &[5; 32]);
    let signer = StandardSigner::new(&key.to_private_string()).unwrap();
    assert_eq!(signer.name(), "example.com/log");
    let mut foreign = Note::new(b"some text\n\nmore\n", &[]).unwrap();
    foreign.add_sigs(&[&signer]).unwrap();
    let note = SignedNote::parse(std::str::from_utf8(&foreign.to_bytes()).unwrap()).unwrap();
    assert_eq!(note.text(), "some text\n\nmore\n");
    assert!(note.verify(&[key.verifying_key()]).is_ok());
    // Ed25519 is deterministic: ours is the same line.
    assert_eq!(trailseal_tlog::sign_note(note.text(), &key), note.to_string());
}

proptest! {
    #[test]
    fn tile_paths_equal_those_of_a_foreign_crate(level in 0u8..64, index: u64, shift in 0u32..64, width in 1u16..=256) {
        let tile = TileId { level, index: index >> shift, width };
        let foreign = tlog_tiles::Tile::new(8, level, tile.index, u32::from(width), false).path();
        // The crate writes Go's paths, which name the tile height too.
        prop_assert_eq!(tile.path(), foreign.replacen("tile/8/", "tile/", 1));
        prop_assert_eq!(TileId::parse(&tile.path()), Ok(tile));
    }

    #[test]
    fn what_is_taken_for_a_path_is_one(text in "tile/[0-9]{1,2}/(x?[0-9]{3}/){0,3}[0-9x]{3}(\\.p/[0-9]{1,3})?") {
        if let Ok(tile) = TileId::parse(&text) {
            prop_assert_eq!(tile.path(), text);
        }
    }
}
