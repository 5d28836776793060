//! The Merkle tree of RFC 6962, section 2.1, in the simplest possible way.

use sha2::{Digest as _, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The hash of one line.
pub fn leaf_hash(line: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(line).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root over leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let left = leaves.len().next_power_of_two() / 2;
            node_hash(&root(&leaves[..left]), &root(&leaves[left..]))
        }
    }
}

/// The files `tree/0`, `tree/1`, … over leaf hashes: each level has one hash for every 256 of the level below.
pub fn levels(leaves: &[Hash]) -> Vec<Vec<u8>> {
    let mut hashes = leaves.to_vec();
    let mut files = Vec::new();
    loop {
        files.push(hashes.concat());
        let (whole, _) = hashes.as_chunks::<256>();
        hashes = whole.iter().map(|group| root(group)).collect();
        if hashes.is_empty() {
            return files;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last example of RFC 9162, section 2.1.5, as transparency logs have published it since RFC 6962.
    #[test]
    fn the_published_root_of_eight_leaves_comes_out() {
        let leaves: Vec<Hash> = [
            &b""[..],
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ]
        .iter()
        .map(|leaf| leaf_hash(leaf))
        .collect();
        let hex: String = root(&leaves).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }
}
