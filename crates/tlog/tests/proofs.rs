//! Trees and proofs against RFC 6962's definition written down naively, known vectors, and a foreign crate.

use trailseal_tlog::{
    Hash, HashSource, ProofError, TileEdge, TileError, TileId, TileSource, consistency_proof, empty_root,
    inclusion_proof, leaf_hash, node_hash, root, verify_consistency, verify_inclusion,
};

/// RFC 6962, section 2.1: MTH, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

struct Tree {
    leaves: Vec<Hash>,
}

impl Tree {
    fn new(size: usize) -> Self {
        Tree { leaves: (0..size).map(|number| leaf_hash(format!("line {number}").as_bytes())).collect() }
    }

    /// A source over tiles as they would lie on disk.
    fn source(&self) -> impl HashSource<Error = TileError> {
        let mut edge = TileEdge::new();
        let mut levels: [Vec<Hash>; 3] = Default::default();
        for leaf in &self.leaves {
            edge.push(*leaf, &mut |level, hash| levels[usize::from(level)].push(*hash));
        }
        TileSource::new(self.leaves.len() as u64, move |id| {
            let from = id.index as usize * 256;
            let hashes = levels[usize::from(id.level)].get(from..from + usize::from(id.width));
            hashes.map(TileId::encode).ok_or(TileError::Path)
        })
    }
}

#[test]
fn known_roots_of_the_reference_tree() {
    // The eight leaves of the Certificate Transparency reference implementation.
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut edge = TileEdge::new();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hex(&edge.root()), empty);
    for (leaf, expected) in leaves.iter().zip(roots) {
        edge.push(leaf_hash(leaf), &mut |_, _| {});
        assert_eq!(hex(&edge.root()), expected);
    }
}

fn hex(hash: &Hash) -> String {
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_proof_of_small_trees_holds_and_no_changed_one_does() {
    for size in 1..=70u64 {
        let tree = Tree::new(size as usize);
        let mut source = tree.source();
        let whole = naive_root(&tree.leaves);
        assert_eq!(root(&mut source, size).unwrap(), whole);
        for index in 0..size {
            let leaf = &tree.leaves[index as usize];
            let proof = inclusion_proof(&mut source, index, size).unwrap();
            assert_eq!(verify_inclusion(leaf, index, size, &proof, &whole), Ok(()));
            assert!(verify_inclusion(leaf, index + 1, size, &proof, &whole).is_err());
            assert!(verify_inclusion(&empty_root(), index, size, &proof, &whole).is_err());
            assert_eq!(verify_inclusion(leaf, size, size, &proof, &whole), Err(ProofError::Range));
            for at in 0..proof.len() {
                let mut changed = proof.clone();
                changed[at] = leaf_hash(b"other");
                assert!(verify_inclusion(leaf, index, size, &changed, &whole).is_err());
                changed.remove(at);
                assert!(verify_inclusion(leaf, index, size, &changed, &whole).is_err());
            }
            let mut longer = proof.clone();
            longer.push(whole);
            assert!(verify_inclusion(leaf, index, size, &longer, &whole).is_err());
        }
        for from in 0..=size {
            let old = naive_root(&tree.leaves[..from as usize]);
            let proof = consistency_proof(&mut source, from, size).unwrap();
            assert_eq!(verify_consistency(from, &old, size, &whole, &proof), Ok(()), "{from}..{size}");
            assert!(verify_consistency(from, &leaf_hash(b"x"), size, &whole, &proof).is_err());
            assert!(verify_consistency(from, &old, size, &leaf_hash(b"x"), &proof).is_err() || from == 0);
            assert_eq!(verify_consistency(size + 1, &old, size, &whole, &proof), Err(ProofError::Range));
            // A trail cut back below a checkpoint that was kept: no proof, and no panic.
            let backwards = consistency_proof(&mut source, size, from).unwrap();
            assert!(backwards.is_empty());
            assert!(verify_consistency(size, &whole, from, &old, &backwards).is_err() || from == size);
            for at in 0..proof.len() {
                let mut changed = proof.clone();
                changed[at] = leaf_hash(b"other");
                assert!(verify_consistency(from, &old, size, &whole, &changed).is_err());
                changed.remove(at);
                assert!(verify_consistency(from, &old, size, &whole, &changed).is_err());
            }
        }
    }
}

#[test]
fn trees_over_several_tile_levels_agree_with_the_definition_and_a_foreign_crate() {
    for size in [255, 256, 257, 511, 65_535, 65_536, 65_537, 70_123] {
        let tree = Tree::new(size);
        let mut source = tree.source();
        let size = size as u64;
        let whole = root(&mut source, size).unwrap();
        assert_eq!(whole, naive_root(&tree.leaves));
        let foreign_root = tlog_tiles::Hash(*whole.as_bytes());
        for index in [0, 1, size / 3, size / 2, size - 2, size - 1] {
            let proof = inclusion_proof(&mut source, index, size).unwrap();
            let leaf = tree.leaves[index as usize];
            assert_eq!(verify_inclusion(&leaf, index, size, &proof, &whole), Ok(()));
            let foreign = proof.iter().map(|hash| tlog_tiles::Hash(*hash.as_bytes())).collect();
            let leaf = tlog_tiles::record_hash(format!("line {index}").as_bytes());
            tlog_tiles::check_record(&foreign, size, foreign_root, index, leaf).unwrap();
            let proof = consistency_proof(&mut source, index + 1, size).unwrap();
            let old = naive_root(&tree.leaves[..=index as usize]);
            let foreign = proof.iter().map(|hash| tlog_tiles::Hash(*hash.as_bytes())).collect();
            let old = tlog_tiles::Hash(*old.as_bytes());
            tlog_tiles::check_tree(&foreign, size, foreign_root, index + 1, old).unwrap();
        }
    }
}
