//! Published examples: proofs of the Certificate Transparency reference tree, and C2SP's own texts.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use trailseal_tlog::{
    Checkpoint, Hash, HashSource, SignedNote, consistency_proof, inclusion_proof, leaf_hash, root,
    subtree_root, verify_consistency, verify_inclusion,
};

/// The leaves of the reference tree, in hexadecimal.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

// Nodes of that tree, by the leaves below them.
const LEAF_0: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
const LEAF_1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const LEAF_4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const LEAVES_0_1: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
const LEAVES_2_3: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const LEAVES_4_5: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const LEAVES_6_7: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const LEAVES_0_3: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
const LEAVES_4_7: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

/// The whole tree in memory, asked for one complete subtree at a time.
struct Leaves(Vec<Hash>);

impl HashSource for Leaves {
    type Error = std::convert::Infallible;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let first = (index << level) as usize;
        Ok(subtree_root(&self.0[first..first + (1 << level)]))
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hashes(hex: &[&str]) -> Vec<Hash> {
    hex.iter().map(|hex| Hash(bytes(hex).try_into().unwrap())).collect()
}

fn reference() -> Leaves {
    Leaves(LEAVES.iter().map(|hex| leaf_hash(&bytes(hex))).collect())
}

#[test]
fn inclusion_proofs_of_the_reference_tree() {
    let check = |index: u64, size: u64, expected: &[&str]| {
        let mut tree = reference();
        let proof = inclusion_proof(&mut tree, index, size).unwrap();
        assert_eq!(proof, hashes(expected), "{index} in {size}");
        let (leaf, root) = (tree.0[index as usize], root(&mut tree, size).unwrap());
        assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
    };
    check(0, 1, &[]);
    check(0, 8, &[LEAF_1, LEAVES_2_3, LEAVES_4_7]);
    check(5, 8, &[LEAF_4, LEAVES_6_7, LEAVES_0_3]);
    check(2, 3, &[LEAVES_0_1]);
    check(1, 5, &[LEAF_0, LEAVES_2_3, LEAF_4]);
}

#[test]
fn consistency_proofs_of_the_reference_tree() {
    let check = |from: u64, to: u64, expected: &[&str]| {
        let mut tree = reference();
        let proof = consistency_proof(&mut tree, from, to).unwrap();
        assert_eq!(proof, hashes(expected), "{from} to {to}");
        let (old, new) = (root(&mut tree, from).unwrap(), root(&mut tree, to).unwrap());
        assert_eq!(verify_consistency(from, &old, to, &new, &proof), Ok(()));
    };
    check(1, 1, &[]);
    check(1, 8, &[LEAF_1, LEAVES_2_3, LEAVES_4_7]);
    check(6, 8, &[LEAVES_4_5, LEAVES_6_7, LEAVES_0_3]);
    check(2, 5, &[LEAVES_2_3, LEAF_4]);
}

/// The example of c2sp.org/tlog-checkpoint.
#[test]
fn the_checkpoint_of_the_specification_is_read() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let note = format!(
        "{text}\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    );
    let read = SignedNote::parse(&note).unwrap();
    assert_eq!(read.to_string(), note);
    let checkpoint = Checkpoint::parse(read.text()).unwrap();
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.to_text(), text);
}

/// The example of c2sp.org/signed-note: its text has an empty line of its own.
#[test]
fn the_note_of_the_specification_is_read() {
    let text = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n";
    let note = format!(
        "{text}\n— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
    );
    let read = SignedNote::parse(&note).unwrap();
    assert_eq!((read.text(), read.signatures().len()), (text, 1));
    assert_eq!(read.to_string(), note);
}
