//! Verification of a store: is every row still the one that was delivered, and every line the one that was signed?
//!
//! In: a connection, and what somebody kept elsewhere. Out: a [`Verdict`] for each origin. It only reads, in one snapshot,
//! beside writers too. The server is not believed: lines are streamed out and hashed here, and every column is made again
//! from its line.
//!
//! 1. `stream`: origins, cursors, checkpoints and rows, in order
//! 2. `pass`: the tree that the lines give, compared with every signed root; what cannot be right whatever was signed
//! 3. `extents`: what each partition is said to hold
//! 4. `retired`: what is missing and was retired, and whether sealed events say so
//! 5. `judge`: the verdict
//! 6. `verdict`: as text
//!
//! What no store alone can show is in docs/store.md.

mod error;
mod extents;
mod finding;
mod judge;
mod pass;
mod retired;
mod stream;
mod verdict;

#[cfg(test)]
mod retired_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

use trailseal_core::tree::TreeReader;
use trailseal_core::verify::{KeptMissing, Problem, Unproven, Verdict};
use trailseal_core::{Folder, Manifest};
use trailseal_tlog::{Checkpoint, HASH_BYTES, Hash, SignedNote, TILE_WIDTH, TileId, VerifyingKey};

use crate::connect::Connection;
pub use error::StoreVerifyError;
use judge::{Given, Judged};
use pass::Witness;
use stream::Snapshot;
pub use verdict::StoreText;

/// Called with the rows read so far, and about how many there are.
pub type StoreProgress = dyn Fn(u64, u64);

/// What to verify a store against.
#[derive(Default)]
pub struct StoreVerifyOptions {
    /// Public keys that were kept elsewhere; each counts for the origin that it names.
    pub public_keys: Vec<VerifyingKey>,
    /// Signed checkpoints that were kept elsewhere; each counts for the origin that it names.
    pub checkpoints: Vec<String>,
    /// Folders of trails that can be reached: the tree of one names a row where the store alone only shows a range.
    pub trails: Vec<Folder>,
    /// Reports how far the reading is.
    pub progress: Option<Box<StoreProgress>>,
}

/// Verifies every origin in the store, and those for which something was given.
///
/// # Errors
/// When the store cannot be read, or a given checkpoint is none.
pub fn verify_store(
    connection: &mut Connection,
    options: &StoreVerifyOptions,
) -> Result<Vec<Verdict>, StoreVerifyError> {
    let mut given: BTreeMap<String, Given> = BTreeMap::new();
    for key in &options.public_keys {
        given.entry(key.name().to_owned()).or_default().keys.push(key.clone());
    }
    for text in &options.checkpoints {
        let note = SignedNote::parse(text).map_err(|_| StoreVerifyError::Given)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|_| StoreVerifyError::Given)?;
        given.entry(checkpoint.origin.to_string()).or_default().checkpoints.push(text.clone());
    }
    let mut snapshot = Snapshot::begin(connection)?;
    let mut verdicts = Vec::new();
    let origins = snapshot.origins()?;
    let total = origins.iter().filter_map(|held| u64::try_from(held.cursor.as_ref()?.next).ok()).sum();
    let mut done: u64 = 0;
    for held in origins {
        let of_origin = given.remove(&held.origin).unwrap_or_default();
        let mut tree = own_tree(&options.trails, &held.origin, &held.notes);
        let judged = Judged::new(held, &of_origin);
        let origin = judged.origin().to_owned();
        let witness = tree.as_mut().map(|tree| tree as &mut dyn Witness);
        let extents = snapshot.extents(&origin)?;
        let lists = snapshot.retired_lists(&origin)?;
        let end = judged.end();
        verdicts.push(judged.pass(witness, extents, &lists, |take| {
            snapshot.items(&origin, &lists, end, &mut |item| {
                done += 1;
                if let Some(progress) = options.progress.as_ref().filter(|_| done.is_multiple_of(1_000)) {
                    progress(done, total);
                }
                take(item)
            })
        })?);
    }
    snapshot.end()?;
    verdicts.extend(
        given
            .into_iter()
            .filter(|(_, given)| !given.is_empty())
            .map(|(origin, given)| nothing_of(&origin, &given)),
    );
    Ok(verdicts)
}

/// Of this origin something was kept elsewhere, and nothing is in the store.
fn nothing_of(origin: &str, given: &Given) -> Verdict {
    Verdict {
        ok: false,
        origin: origin.to_owned(),
        tree_size: 0,
        sealed: 0,
        unsealed: 0,
        retired: 0,
        retired_by: Vec::new(),
        first_bad: Some(0),
        range: None,
        problem: Some(Problem::Missing),
        message: format!("the store holds nothing of {origin}, for which a key or checkpoint was given"),
        public_key: None,
        key_pinned: !given.keys.is_empty(),
        checkpoint_pinned: !given.checkpoints.is_empty(),
        longest_silence_seconds: 0.0,
        cannot_rule_out: vec![Unproven::Rollback],
        kept: KeptMissing::default(),
        good: None,
    }
}

/// The tree of an origin's own folder.
struct OwnTree {
    reader: TreeReader,
    size: u64,
    held: Option<(u64, Vec<Hash>)>,
}

fn own_tree(trails: &[Folder], origin: &str, notes: &[(i64, Vec<u8>)]) -> Option<OwnTree> {
    let is_of = |folder: &&Folder| {
        Manifest::read(folder).ok().flatten().is_some_and(|manifest| manifest.origin.as_str() == origin)
    };
    let folder = trails.iter().find(is_of)?;
    // What is beyond a signed size is void, and no root of it is asked for.
    let size = notes.iter().filter_map(|(size, _)| u64::try_from(*size).ok()).max()?;
    Some(OwnTree { reader: TreeReader::new(folder, size), size, held: None })
}

impl Witness for OwnTree {
    fn leaf(&mut self, index: u64) -> io::Result<Option<Hash>> {
        const TILE: u64 = TILE_WIDTH as u64;
        let from = index - index % TILE;
        if self.held.as_ref().is_none_or(|(held, _)| *held != from) {
            let hashes = match TileId::in_tree(0, from / TILE, self.size) {
                None => Vec::new(),
                Some(tile) => match self.reader.tile(&tile) {
                    // The tree ends before: it is damaged, and no witness there.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Vec::new(),
                    bytes => bytes?.unwrap_or_default(),
                },
            };
            let hashes = hashes.as_chunks::<HASH_BYTES>().0.iter().copied().map(Hash).collect();
            self.held = Some((from, hashes));
        }
        Ok(self.held.as_ref().and_then(|(_, block)| block.get((index - from) as usize).copied()))
    }
}
