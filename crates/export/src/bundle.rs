//! Writes the zip of a bundle, one member after the other, so that any number of events needs little memory.
//!
//! A bundle has, for each origin, lines, proofs, a checkpoint and a public key, and `manifest.json` as its last member.
//! What must hold: a member is in the manifest with the hash of its bytes, or was never ended.

use std::borrow::Cow;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::{ControlFlow, Range};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use trailseal_core::{ReadError, Reader};
use trailseal_event::Index;
use trailseal_tlog::{Checkpoint, Hash};
use zip::ZipWriter;
use zip::write::{SimpleFileOptions, StreamWriter};

/// The format that a bundle's manifest names.
pub const BUNDLE_FORMAT: &str = "trailseal-bundle@v1";
/// What a bundle proves, and what not.
pub const WHAT_A_BUNDLE_PROVES: &str = "each line in it is genuine; not that no line was left out";

/// A bundle that is being written.
pub struct BundleWriter<W: Write + Seek> {
    zip: ZipWriter<W>,
    members: Map<String, Value>,
}

/// Whether a line is wanted; breaks to stop.
pub type LineWanted<'a> = dyn Fn(&[u8]) -> ControlFlow<(), bool> + 'a;

/// What the folder of one origin in a bundle has.
#[derive(Clone, Debug)]
pub struct Bundled {
    /// The indexes of its lines.
    pub indexes: Vec<u64>,
    /// What the checkpoint covers.
    pub tree_size: u64,
    /// Events that are not sealed yet, and so are left out.
    pub unsealed: u64,
}

/// Why a bundle could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The trail could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A member that is being written.
pub struct Member<'a, W: Write + Seek> {
    bundle: &'a mut BundleWriter<W>,
    name: String,
    hash: Sha256,
}

impl<W: Write + Seek> BundleWriter<W> {
    /// Begins a bundle in a file.
    pub fn new(out: W) -> Self {
        BundleWriter { zip: ZipWriter::new(out), members: Map::new() }
    }

    /// Begins the next member.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn member(&mut self, name: String) -> io::Result<Member<'_, W>> {
        let options = SimpleFileOptions::default().large_file(true);
        self.zip.start_file(name.as_str(), options).map_err(zip_failed)?;
        Ok(Member { bundle: self, name, hash: Sha256::new() })
    }

    /// Writes a member whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn whole_member(&mut self, name: String, text: &str) -> io::Result<()> {
        let mut member = self.member(name)?;
        member.write_all(text.as_bytes())?;
        member.end();
        Ok(())
    }

    /// Writes the folder `folder` of one origin: its sealed lines in `range` that are wanted, their proofs, the newest
    /// checkpoint and the key.
    ///
    /// # Errors
    /// When the trail cannot be read or the bundle not be written.
    pub fn origin(
        &mut self,
        folder: usize,
        reader: &mut Reader,
        range: Range<u64>,
        is_wanted: &LineWanted<'_>,
    ) -> Result<Bundled, BundleError> {
        let (note, checkpoint) = reader.checkpoint()?;
        let range = range.start..range.end.min(checkpoint.size);
        let name = format!("{folder}/lines.jsonl");
        let indexes = self.lines(name, reader, range, is_wanted, &|line| Cow::Borrowed(line))?;
        self.proofs(folder, reader, &indexes, &checkpoint)?;
        let key = reader.manifest().current_key().map(ToString::to_string).unwrap_or_default();
        self.whole_member(format!("{folder}/checkpoint"), &note)?;
        self.whole_member(format!("{folder}/public-key"), &format!("{key}\n"))?;
        let unsealed = reader.end().get().saturating_sub(checkpoint.size);
        Ok(Bundled { indexes, tree_size: checkpoint.size, unsealed })
    }

    /// Writes a member with the lines in `range` that are wanted, as `shown` gives them; returns their indexes.
    ///
    /// # Errors
    /// As [`origin`](BundleWriter::origin).
    pub fn lines(
        &mut self,
        name: String,
        reader: &mut Reader,
        range: Range<u64>,
        is_wanted: &LineWanted<'_>,
        shown: &dyn Fn(&[u8]) -> Cow<'_, [u8]>,
    ) -> Result<Vec<u64>, BundleError> {
        let mut member = self.member(name)?;
        let (mut indexes, mut failed) = (Vec::new(), None);
        reader.for_each(range, &mut |index, line| {
            match is_wanted(line) {
                ControlFlow::Break(()) => {
                    failed = Some(io::Error::from(io::ErrorKind::BrokenPipe));
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(false) => return ControlFlow::Continue(()),
                ControlFlow::Continue(true) => indexes.push(index.get()),
            }
            match member.write_all(&shown(line)).and_then(|()| member.write_all(b"\n")) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        member.end();
        Ok(indexes)
    }

    fn proofs(
        &mut self,
        folder: usize,
        reader: &mut Reader,
        indexes: &[u64],
        checkpoint: &Checkpoint,
    ) -> Result<(), BundleError> {
        let mut member = self.member(format!("{folder}/proofs.jsonl"))?;
        for index in indexes {
            let hashes = reader.inclusion(Index::new(*index), checkpoint)?;
            let hashes: Vec<String> = hashes.iter().map(Hash::to_base64).collect();
            writeln!(member, "{}", json!({"index": index, "hashes": hashes}))?;
        }
        member.end();
        Ok(())
    }

    /// Writes the manifest and ends the bundle: `about` and what every manifest has. Returns what was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, mut about: Map<String, Value>) -> io::Result<W> {
        about.insert("format".into(), BUNDLE_FORMAT.into());
        about.insert("proves".into(), WHAT_A_BUNDLE_PROVES.into());
        about.insert("members".into(), Value::Object(std::mem::take(&mut self.members)));
        self.member("manifest.json".into())?.write_all(format!("{:#}\n", Value::Object(about)).as_bytes())?;
        let mut out = self.zip.finish().map_err(zip_failed)?;
        out.flush()?;
        Ok(out)
    }
}

impl<W: Write> BundleWriter<StreamWriter<W>> {
    /// Begins a bundle in what can only be written on, such as a pipe.
    pub fn to_pipe(out: W) -> Self {
        BundleWriter { zip: ZipWriter::new_stream(out), members: Map::new() }
    }
}

impl<W: Write + Seek> Member<'_, W> {
    /// Ends it, and notes its hash for the manifest.
    pub fn end(self) {
        let hex: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.bundle.members.insert(self.name, json!({ "sha256": hex }));
    }
}

impl<W: Write + Seek> Write for Member<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.bundle.zip.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.bundle.zip.flush()
    }
}

/// A pipe or a file for a zip. After an error it accepts and drops the rest: a `ZipWriter` that is dropped tries to finish its
/// zip, and prints to stderr, past us, if it cannot. From then on flushing fails, so a truncated zip never passes for a
/// complete one.
pub struct UntilItFails<W> {
    out: W,
    has_failed: bool,
    /// Where the next byte goes, or would.
    place: u64,
}

impl<W> UntilItFails<W> {
    /// Nothing has failed yet.
    pub fn new(out: W) -> Self {
        UntilItFails { out, has_failed: false, place: 0 }
    }

    /// What is written to.
    pub fn get_ref(&self) -> &W {
        &self.out
    }

    fn keep<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.has_failed |= result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        result
    }
}

impl<W: Write> Write for UntilItFails<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_failed {
            self.place += bytes.len() as u64;
            return Ok(bytes.len());
        }
        let written = self.out.write(bytes);
        let count = self.keep(written)?;
        self.place += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.has_failed {
            return Err(io::Error::other("the bundle could not be written completely"));
        }
        let flushed = self.out.flush();
        self.keep(flushed)
    }
}

impl<W: Seek> Seek for UntilItFails<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if !self.has_failed {
            let place = self.out.seek(to);
            self.place = self.keep(place)?;
            return Ok(self.place);
        }
        self.place = match to {
            SeekFrom::Start(place) => place,
            SeekFrom::Current(by) => self.place.saturating_add_signed(by),
            // Nobody knows the end any more.
            SeekFrom::End(_) => self.place,
        };
        Ok(self.place)
    }
}

fn zip_failed(error: zip::result::ZipError) -> io::Error {
    match error {
        zip::result::ZipError::Io(error) => error,
        other => io::Error::other(format!("could not write the zip: {other}")),
    }
}
