//! Writes the zip of a bundle, one member after the other, so that any number of events needs little memory.
//!
//! A bundle has, for each origin, lines, proofs, a checkpoint and a public key, and `manifest.json` as its last member.
//! What must hold: a member is in the manifest with the hash of its bytes, or was never ended.

use std::io::{self, Seek, Write};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
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

fn zip_failed(error: zip::result::ZipError) -> io::Error {
    match error {
        zip::result::ZipError::Io(error) => error,
        other => io::Error::other(format!("could not write the zip: {other}")),
    }
}
