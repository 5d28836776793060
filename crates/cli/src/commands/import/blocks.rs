//! Blocks of encrypted entries, read when their turn comes.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use trailseal_import::blocks::{BLOCK_BYTES_MAX, BlockKeys, Blocks};
use trailseal_import::hashes::HashReport;

use crate::output::tell;

const KEYS: &str = "encryption_keys.json";
const MASTER_FILE: &str = ".master_key";
const MASTER: &str = "AUDIT_MASTER_KEY";

/// The blocks of one import, each after the one before it.
#[derive(Clone, Default)]
pub(super) struct AllBlocks(Arc<Mutex<Option<Blocks>>>);

/// What became of the hashes of a block, once it was read.
pub(super) type Told = Arc<Mutex<Option<HashReport>>>;

impl AllBlocks {
    /// Reads a block from `reader`. The keys lie beside the first one.
    pub(super) fn lines(&self, reader: Box<dyn BufRead + Send>, path: Option<&Path>) -> (BlockLines, Told) {
        let told = Told::default();
        let folder = path.and_then(Path::parent).unwrap_or(Path::new(".")).to_owned();
        let lines = BlockLines {
            block: Some(reader),
            folder,
            all: self.clone(),
            told: told.clone(),
            lines: io::Cursor::default(),
        };
        (lines, told)
    }
}

fn keys(folder: &Path) -> BlockKeys {
    let Ok(file) = std::fs::read(folder.join(KEYS)) else { return BlockKeys::default() };
    let setting = std::env::var(MASTER).ok().filter(|setting| !setting.is_empty());
    let master_file = std::fs::read(folder.join(MASTER_FILE)).ok();
    BlockKeys::open(&file, setting.as_deref(), master_file.as_deref()).unwrap_or_else(|what| {
        tell(&format!("{}: {what}", folder.join(KEYS).display()));
        BlockKeys::default()
    })
}

/// The entries of a block as lines of JSON.
pub(super) struct BlockLines {
    /// Until it is read.
    block: Option<Box<dyn BufRead + Send>>,
    folder: PathBuf,
    all: AllBlocks,
    told: Told,
    lines: io::Cursor<Vec<u8>>,
}

impl BlockLines {
    fn read_block(&mut self) -> io::Result<()> {
        let Some(block) = self.block.take() else { return Ok(()) };
        let mut bytes = Vec::new();
        block.take(BLOCK_BYTES_MAX).read_to_end(&mut bytes)?;
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = all.get_or_insert_with(|| Blocks::new(keys(&self.folder)));
        let read = blocks.read(&bytes).map_err(io::Error::other)?;
        self.lines = io::Cursor::new(read.lines);
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(read.report);
        Ok(())
    }
}

impl Read for BlockLines {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read_block()?;
        self.lines.read(out)
    }
}

impl BufRead for BlockLines {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.read_block()?;
        self.lines.fill_buf()
    }

    fn consume(&mut self, len: usize) {
        self.lines.consume(len);
    }
}
