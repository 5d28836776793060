//! Roots of Merkle trees, and the right edge of one that grows.
//!
//! RFC 6962 defines the root of *n* leaves by splitting at the largest power of two below *n*. Hashing neighbours level
//! by level, and moving an odd last one up unchanged, gives the same tree. So leaves may be taken in runs of 256, and a
//! run that is not full counts as one node of the level above. All functions here rely on that.

use crate::hash::{Hash, empty_root, node_hash};
use crate::tile::{TILE_HEIGHT, TILE_WIDTH, TileId, full_tiles, partial_width, shift_right};

/// Tile levels that a tree of 64-bit size can have.
pub const TILE_LEVELS: u8 = 8;

/// The root over `leaves` (RFC 6962, section 2.1), which are hashes of leaves, or of complete subtrees of one height,
/// the last of which may be incomplete.
#[must_use]
pub fn subtree_root(leaves: &[Hash]) -> Hash {
    if leaves.len() <= TILE_WIDTH {
        return tile_root(leaves);
    }
    let roots: Vec<Hash> = leaves.chunks(TILE_WIDTH).map(tile_root).collect();
    subtree_root(&roots)
}

/// The same for at most [`TILE_WIDTH`] hashes, without allocating.
fn tile_root(hashes: &[Hash]) -> Hash {
    let mut count = hashes.len();
    if count == 0 {
        return empty_root();
    }
    let mut level = [Hash([0; 32]); TILE_WIDTH];
    level[..count].copy_from_slice(hashes);
    while count > 1 {
        for pair in 0..count / 2 {
            level[pair] = node_hash(&level[2 * pair], &level[2 * pair + 1]);
        }
        if count % 2 == 1 {
            level[count / 2] = level[count - 1];
        }
        count = count.div_ceil(2);
    }
    level[0]
}

/// The right edge of a growing tree: for each tile level the hashes of its partial tile.
///
/// This is all that is needed to append leaves and to compute the root: at most 8 × 255 hashes, whatever the size. Each
/// hash is passed on once, when it is known, and full tiles are forgotten.
///
/// ```
/// use trailseal_tlog::{TileEdge, leaf_hash};
///
/// let mut edge = TileEdge::new();
/// let mut levels = [Vec::new(), Vec::new()];
/// for line in 0..300_u32 {
///     edge.push(leaf_hash(&line.to_be_bytes()), &mut |level, hash| levels[usize::from(level)].push(*hash));
/// }
/// assert_eq!([levels[0].len(), levels[1].len()], [300, 1]);
/// let partial: Vec<_> = edge.partials().map(|(tile, _)| tile.path()).collect();
/// assert_eq!(partial, ["tile/0/001.p/44", "tile/1/000.p/1"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileEdge {
    size: u64,
    /// By tile level, lowest first; each holds as many hashes as its partial tile at `size`.
    levels: Vec<Vec<Hash>>,
}

/// Why hashes are not the right edge of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the partial tile of level {level} of a tree of {size} leaves has {expected} hashes, not {found}: read the tiles \
     of exactly this size"
)]
pub struct EdgeError {
    /// The number of leaves of the tree.
    pub size: u64,
    /// The tile level that differs.
    pub level: u8,
    /// How many hashes its partial tile must have.
    pub expected: usize,
    /// How many were given.
    pub found: usize,
}

impl Default for TileEdge {
    fn default() -> Self {
        Self::new()
    }
}

impl TileEdge {
    /// The edge of an empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, levels: Vec::new() }
    }

    /// The edge of a tree of `size` leaves from its partial tiles, level 0 first. A level without a partial tile has an
    /// empty `Vec`; empty ones at the end may be left out.
    ///
    /// The hashes are not verified: compare [`TileEdge::root`] with a signed root.
    ///
    /// # Errors
    /// [`EdgeError`] if a level has another number of hashes than its partial tile at `size`.
    pub fn from_partials(size: u64, partials: Vec<Vec<Hash>>) -> Result<Self, EdgeError> {
        let levels = usize::from(TILE_LEVELS).max(partials.len());
        for level in 0..u8::try_from(levels).unwrap_or(u8::MAX) {
            let found = partials.get(usize::from(level)).map_or(0, Vec::len);
            let expected = usize::from(partial_width(size, level));
            if found != expected {
                return Err(EdgeError { size, level, expected, found });
            }
        }
        Ok(Self { size, levels: partials })
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of a leaf. `added` receives the hash that this adds to each tile level, with the level, lowest
    /// first: the leaf's own at level 0, and the root of each tile that it completes one level above.
    pub fn push(&mut self, leaf: Hash, added: &mut impl FnMut(u8, &Hash)) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..TILE_LEVELS {
            added(level, &hash);
            let hashes = self.level_mut(level);
            hashes.push(hash);
            if hashes.len() < TILE_WIDTH {
                return;
            }
            hash = tile_root(hashes);
            hashes.clear();
        }
    }

    /// The root of the tree; for an empty one, [`empty_root`].
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut incomplete: Option<Hash> = None;
        for hashes in &self.levels {
            incomplete = match incomplete {
                None if hashes.is_empty() => None,
                None => Some(tile_root(hashes)),
                Some(hash) => Some(root_with_last(hashes, hash)),
            };
        }
        incomplete.unwrap_or_else(empty_root)
    }

    /// The partial tiles of the present size, level 0 first. A level whose last tile is full has none.
    pub fn partials(&self) -> impl Iterator<Item = (TileId, &[Hash])> {
        tiles_for_size(self.size).map(|tile| (tile, self.levels[usize::from(tile.level)].as_slice()))
    }

    fn level_mut(&mut self, level: u8) -> &mut Vec<Hash> {
        let level = usize::from(level);
        while self.levels.len() <= level {
            self.levels.push(Vec::with_capacity(TILE_WIDTH));
        }
        &mut self.levels[level]
    }
}

/// How many hashes tile level `level` of a tree of `size` leaves has.
///
/// ```
/// assert_eq!(trailseal_tlog::hashes_in_level(70_000, 1), 273);
/// ```
#[must_use]
pub const fn hashes_in_level(size: u64, level: u8) -> u64 {
    shift_right(size, level)
}

/// The partial tiles of a tree of `size` leaves, level 0 first: its right edge.
pub fn tiles_for_size(size: u64) -> impl Iterator<Item = TileId> {
    (0..TILE_LEVELS).filter_map(move |level| {
        let width = partial_width(size, level);
        (width > 0).then(|| TileId { level, index: full_tiles(size, level), width })
    })
}

fn root_with_last(hashes: &[Hash], last: Hash) -> Hash {
    let mut all = [last; TILE_WIDTH];
    all[..hashes.len()].copy_from_slice(hashes);
    tile_root(&all[..=hashes.len()])
}

const _: () = assert!(TILE_LEVELS * TILE_HEIGHT == 64, "tile levels must cover a 64-bit size");
