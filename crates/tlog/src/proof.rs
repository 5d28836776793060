//! Inclusion and consistency proofs (RFC 6962, section 2.1), and their text formats.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::decimal;
use crate::hash::{Hash, empty_root, leaf_hash, node_hash};
use crate::note::NOTE_BYTES_MAX;
use crate::tile::{TILE_HEIGHT, TileError, TileId};
use crate::tree::subtree_root;

/// No proof for a tree of at most 2^64 leaves needs more hashes.
pub const PROOF_HASHES_MAX: usize = 128;
/// Longer texts of proofs are not read.
pub const PROOF_BYTES_MAX: usize = 2 * NOTE_BYTES_MAX;
const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";
const CONSISTENCY_HEADER: &str = "trailseal-consistency@v1";

/// Where roots of complete subtrees come from.
pub trait HashSource {
    /// Why a root could not be read.
    type Error;
    /// The root of leaves `index × 2^level .. (index + 1) × 2^level`, all of which are in the tree.
    ///
    /// # Errors
    /// If it cannot be read.
    fn node(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// A [`HashSource`] over the tiles of a tree of some size.
pub struct TileSource<F> {
    fetch: F,
    size: u64,
    tiles: Vec<(TileId, Vec<Hash>)>,
}

/// The last tiles used: one for each level of a proof.
const TILES_KEPT: usize = 16;

impl<E: From<TileError>, F: FnMut(TileId) -> Result<Vec<u8>, E>> TileSource<F> {
    /// Reads tiles with `fetch`; those at the right edge are requested with the width that they have in a tree of
    /// `size` leaves.
    pub fn new(size: u64, fetch: F) -> Self {
        TileSource { fetch, size, tiles: Vec::new() }
    }

    fn tile(&mut self, id: TileId) -> Result<&[Hash], E> {
        let at = match self.tiles.iter().position(|(known, _)| *known == id) {
            Some(at) => at,
            None => {
                let bytes = (self.fetch)(id)?;
                let hashes = id.decode(&bytes)?;
                if self.tiles.len() >= TILES_KEPT {
                    self.tiles.remove(0);
                }
                self.tiles.push((id, hashes));
                self.tiles.len() - 1
            }
        };
        Ok(&self.tiles[at].1)
    }
}

impl<E: From<TileError>, F: FnMut(TileId) -> Result<Vec<u8>, E>> HashSource for TileSource<F> {
    type Error = E;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, E> {
        let (tile_level, within) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let first = index << within;
        let id = TileId::in_tree(tile_level, first / 256, self.size).ok_or(TileError::Path)?;
        let hashes = self.tile(id)?;
        let begin = (first % 256) as usize;
        let wanted = hashes.get(begin..begin + (1 << within)).ok_or(TileError::Path)?;
        Ok(subtree_root(wanted))
    }
}

/// Why a proof is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The index is not in a tree of that size, or the sizes are in the wrong order.
    #[error("the index or the sizes are inconsistent")]
    Range,
    /// It has too many or too few hashes for its index and size.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// It leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The root of the first `size` leaves.
///
/// # Errors
/// If the source cannot give a hash.
pub fn root<S: HashSource>(source: &mut S, size: u64) -> Result<Hash, S::Error> {
    if size == 0 { Ok(empty_root()) } else { range_root(source, 0, size) }
}

/// The root of leaves `from..to`, where `from` is a multiple of the largest power of two below their number.
fn range_root<S: HashSource>(source: &mut S, from: u64, to: u64) -> Result<Hash, S::Error> {
    let count = to - from;
    if count.is_power_of_two() {
        let level = count.trailing_zeros() as u8;
        return source.node(level, from >> level);
    }
    let middle = from + split(count);
    let left = range_root(source, from, middle)?;
    let right = range_root(source, middle, to)?;
    Ok(node_hash(&left, &right))
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

/// The proof that leaf `index` is in the tree of `size` leaves; `index` must be below `size`.
///
/// # Errors
/// If the source cannot give a hash.
pub fn inclusion_proof<S: HashSource>(source: &mut S, index: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
    let (mut from, mut to) = (0, size);
    let mut siblings = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            siblings.push(range_root(source, middle, to)?);
            to = middle;
        } else {
            siblings.push(range_root(source, from, middle)?);
            from = middle;
        }
    }
    siblings.reverse();
    Ok(siblings)
}

/// The proof that the tree of `to` leaves begins with the tree of `from` leaves. It is empty if there is nothing to
/// prove, or nothing that could be proved: a smaller tree does not begin with a larger one, and [`verify_consistency`]
/// says so.
///
/// # Errors
/// If the source cannot give a hash.
pub fn consistency_proof<S: HashSource>(source: &mut S, from: u64, to: u64) -> Result<Vec<Hash>, S::Error> {
    let mut proof = Vec::new();
    if from == 0 || from >= to {
        return Ok(proof);
    }
    let (mut begin, mut end) = (0, to);
    // Whether the old tree's part in begin..end is the whole old tree, whose root the verifier has.
    let mut is_whole = true;
    while end != from {
        let middle = begin + split(end - begin);
        if from <= middle {
            proof.push(range_root(source, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(source, begin, middle)?);
            begin = middle;
            is_whole = false;
        }
    }
    if !is_whole {
        proof.push(range_root(source, begin, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that `leaf` is leaf `index` of the tree of `size` leaves with `root`.
///
/// # Errors
/// If the proof does not prove it.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    // RFC 9162, section 2.1.3.2.
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `to` leaves with `to_root` begins with that of `from` leaves with `from_root`.
///
/// # Errors
/// If the proof does not prove it.
pub fn verify_consistency(
    from: u64,
    from_root: &Hash,
    to: u64,
    to_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if from > to {
        return Err(ProofError::Range);
    }
    if from == to || from == 0 {
        let expected = if from == 0 { empty_root() } else { *to_root };
        return match (proof.is_empty(), *from_root == expected) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    // RFC 9162, section 2.1.4.2.
    let (mut at, mut last) = (from - 1, to - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    // A complete old tree is its own first hash.
    let (first, rest) =
        if at == 0 { (Some(from_root), proof) } else { (proof.first(), proof.get(1..).unwrap_or(&[])) };
    let Some(first) = first else { return Err(ProofError::Length) };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old == *from_root && new == *to_root { Ok(()) } else { Err(ProofError::Root) }
}

/// Why the text of a proof could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a proof: {0}")]
pub struct ProofTextError(&'static str);

/// A self-contained inclusion proof (c2sp.org/tlog-proof).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Free for the application; Trailseal puts the line here.
    pub extra: Option<Vec<u8>>,
    /// The leaf's index.
    pub index: u64,
    /// The siblings, from the leaf upward.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl TlogProof {
    /// The text of the proof.
    pub fn to_text(&self) -> String {
        let mut text = format!("{PROOF_HEADER}\n");
        if let Some(extra) = &self.extra {
            text.push_str(&format!("extra {}\n", STANDARD.encode(extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        push_hashes(&mut text, &self.hashes);
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Parses the text of a proof, without verifying anything.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(text: &str) -> Result<Self, ProofTextError> {
        let rest = after_header(text, PROOF_HEADER)?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or(ProofTextError("no empty line"))?;
        let mut lines = head.split('\n').peekable();
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(data) => {
                let data = STANDARD.decode(data).map_err(|_| ProofTextError("`extra` is not base64"))?;
                lines.next();
                Some(data)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| decimal(line.strip_prefix("index ")?));
        let index = index.ok_or(ProofTextError("no line `index N`"))?;
        Ok(TlogProof { extra, index, hashes: hashes(lines)?, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that the proof is about `line`, under a root that the caller trusts.
    ///
    /// # Errors
    /// If it is not.
    pub fn verify_line(&self, line: &[u8], size: u64, root: &Hash) -> Result<(), ProofError> {
        verify_inclusion(&leaf_hash(line), self.index, size, &self.hashes, root)
    }
}

/// A self-contained consistency proof.
///
/// ```text
/// trailseal-consistency@v1\n
/// base64 of a hash\n …
/// \n
/// the old checkpoint, a signed note
/// \n
/// the new checkpoint, a signed note
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The hashes.
    pub hashes: Vec<Hash>,
    /// The old signed checkpoint.
    pub old: String,
    /// The new signed checkpoint.
    pub new: String,
}

impl ConsistencyProof {
    /// The text of the proof.
    pub fn to_text(&self) -> String {
        let mut text = format!("{CONSISTENCY_HEADER}\n");
        push_hashes(&mut text, &self.hashes);
        format!("{text}\n{}\n{}", self.old, self.new)
    }

    /// Parses the text of a proof, without verifying anything.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(text: &str) -> Result<Self, ProofTextError> {
        let rest = after_header(text, CONSISTENCY_HEADER)?;
        let (head, notes) = match rest.strip_prefix('\n') {
            Some(notes) => ("", notes),
            None => rest.split_once("\n\n").ok_or(ProofTextError("no empty line after the hashes"))?,
        };
        let hashes = if head.is_empty() { Vec::new() } else { hashes(head.split('\n'))? };
        // A note is text, an empty line and signature lines: so the second empty line ends the old one.
        let mut breaks = notes.match_indices("\n\n").map(|(at, _)| at);
        let at = breaks.nth(1).ok_or(ProofTextError("no empty line between the checkpoints"))?;
        if breaks.count() != 1 {
            return Err(ProofTextError("not exactly two checkpoints"));
        }
        Ok(ConsistencyProof { hashes, old: notes[..=at].to_owned(), new: notes[at + 2..].to_owned() })
    }
}

fn after_header<'a>(text: &'a str, header: &str) -> Result<&'a str, ProofTextError> {
    if text.len() > PROOF_BYTES_MAX {
        return Err(ProofTextError("it is too long"));
    }
    text.strip_prefix(header)
        .and_then(|rest| rest.strip_prefix('\n'))
        .ok_or(ProofTextError("it does not begin with the format's name"))
}

fn push_hashes(text: &mut String, hashes: &[Hash]) {
    for hash in hashes {
        text.push_str(&hash.to_base64());
        text.push('\n');
    }
}

fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, ProofTextError> {
    let mut hashes = Vec::new();
    for line in lines {
        if hashes.len() == PROOF_HASHES_MAX {
            return Err(ProofTextError("it has too many hashes"));
        }
        hashes.push(Hash::from_base64(line).map_err(|_| ProofTextError("a line is not base64 of 32 bytes"))?);
    }
    Ok(hashes)
}
