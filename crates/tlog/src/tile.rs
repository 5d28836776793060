//! The tiles of C2SP tlog-tiles: which hashes they hold, and their paths.
//!
//! ```text
//! tile/<L>/<N>         256 hashes (8,192 bytes), concatenated
//! tile/<L>/<N>.p/<W>   the first W of them, 1 to 255: the right edge of a tree
//! <N> = 1234067 is written x001/x234/067
//! ```
//!
//! Hash `i` of tile `N` at level `L` is the root of the leaves `(N × 256 + i) × 256^L .. (N × 256 + i + 1) × 256^L`.
//! Source: c2sp.org/tlog-tiles.

use crate::hash::{HASH_BYTES, Hash};

/// Tree levels that one tile spans.
pub const TILE_HEIGHT: u8 = 8;

/// The number of hashes in a full tile.
pub const TILE_WIDTH: usize = 1 << TILE_HEIGHT;

/// The number of bytes in a full tile.
pub const TILE_BYTES: usize = TILE_WIDTH * HASH_BYTES;

/// The highest tile level that has a path.
const TILE_LEVEL_MAX: u8 = 63;

/// The name of a tile: its level, its index within the level, and how many hashes it holds.
///
/// ```
/// use trailseal_tlog::TileId;
///
/// let tile = TileId { level: 1, index: 1_234_067, width: 8 };
/// assert_eq!(tile.path(), "tile/1/x001/x234/067.p/8");
/// assert_eq!(TileId::parse("tile/1/x001/x234/067.p/8")?, tile);
/// assert!(TileId::parse("tile/1/67").is_err());
/// # Ok::<(), trailseal_tlog::TileError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// The tile level: 0 holds hashes of leaves, each level above spans 256 times as many.
    pub level: u8,
    /// The number of the tile within its level, from 0.
    pub index: u64,
    /// The number of hashes: 256 in a full tile, 1 to 255 in a partial one.
    pub width: u16,
}

/// Why a path or bytes are not a tile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// The path is not in the only form that tlog-tiles allows.
    #[error("not a tile path: expected tile/<level>/<index> as in c2sp.org/tlog-tiles")]
    Path,
    /// The number of bytes does not match the tile.
    #[error("{} has {} bytes, not {found}: the file is damaged or has another size", tile.path(), tile.len_bytes())]
    Length {
        /// The tile that was read.
        tile: TileId,
        /// The number of bytes given.
        found: usize,
    },
}

impl TileId {
    /// The full tile `index` of `level`.
    #[must_use]
    pub const fn full(level: u8, index: u64) -> Self {
        Self { level, index, width: TILE_WIDTH as u16 }
    }

    /// The tile `index` of `level` in a tree of `size` leaves, full or partial; `None` if the tree has no hash in it.
    #[must_use]
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let full = full_tiles(size, level);
        let width = partial_width(size, level);
        if index < full {
            Some(Self::full(level, index))
        } else {
            (index == full && width > 0).then_some(Self { level, index, width })
        }
    }

    /// Whether the tile has all its 256 hashes and will never change.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width as usize == TILE_WIDTH
    }

    /// The number of bytes of the encoded tile.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.width as usize * HASH_BYTES
    }

    /// The path below the folder of the tree, without a leading slash.
    #[must_use]
    pub fn path(&self) -> String {
        let mut number = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            number = format!("x{:03}/{number}", rest % 1000);
            rest /= 1000;
        }
        let partial = if self.is_full() { String::new() } else { format!(".p/{}", self.width) };
        format!("tile/{}/{number}{partial}", self.level)
    }

    /// Parses a path as [`TileId::path`] writes it, and in no other spelling.
    ///
    /// # Errors
    /// [`TileError::Path`] for anything else.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        let tile = parse_loose(path).ok_or(TileError::Path)?;
        // Formatting it again rules out leading zeros, signs and extra path elements at once.
        if tile.path() == path { Ok(tile) } else { Err(TileError::Path) }
    }

    /// The bytes of a tile: its hashes, concatenated.
    #[must_use]
    pub fn encode(hashes: &[Hash]) -> Vec<u8> {
        hashes.iter().flat_map(|hash| hash.0).collect()
    }

    /// The hashes in the bytes of this tile.
    ///
    /// # Errors
    /// [`TileError::Length`] if the number of `bytes` is not the tile's.
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
        if bytes.len() != self.len_bytes() {
            return Err(TileError::Length { tile: *self, found: bytes.len() });
        }
        let (hashes, _none_left) = bytes.as_chunks::<HASH_BYTES>();
        Ok(hashes.iter().copied().map(Hash).collect())
    }
}

/// How many full tiles `level` has in a tree of `size` leaves.
pub(crate) const fn full_tiles(size: u64, level: u8) -> u64 {
    shift_right(size, level.saturating_add(1))
}

/// How many hashes the partial tile of `level` has in a tree of `size` leaves; 0 if there is none.
pub(crate) const fn partial_width(size: u64, level: u8) -> u16 {
    (shift_right(size, level) % TILE_WIDTH as u64) as u16
}

/// `size / 256^levels`, which is 0 from 8 levels on.
pub(crate) const fn shift_right(size: u64, levels: u8) -> u64 {
    match size.checked_shr(levels as u32 * TILE_HEIGHT as u32) {
        Some(shifted) => shifted,
        None => 0,
    }
}

/// Parses a path into numbers; the caller compares it with the one correct spelling.
fn parse_loose(path: &str) -> Option<TileId> {
    let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let level: u8 = level.parse().ok().filter(|level| *level <= TILE_LEVEL_MAX)?;
    let (number, width) = match rest.split_once(".p/") {
        None => (rest, TILE_WIDTH as u16),
        Some((number, width)) => {
            (number, width.parse().ok().filter(|width| (1..TILE_WIDTH as u16).contains(width))?)
        }
    };
    let mut index: u64 = 0;
    for element in number.split('/') {
        let digits: u64 = element.strip_prefix('x').unwrap_or(element).parse().ok()?;
        index = index.checked_mul(1000)?.checked_add(digits)?;
    }
    Some(TileId { level, index, width })
}
