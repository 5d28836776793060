//! Small texts that are read and written: files, or stdin and stdout.

use std::io::{Read, Write as _};
use std::path::Path;

use trailseal_core::file::open_named;

use crate::destination::Destination;
use crate::failure::{Failure, Outcome};

/// Reads a small text file named by the user, or stdin for `-`.
pub(super) fn read_text(path: &Path) -> Outcome<String> {
    const BYTES_MAX: u64 = 64 << 20;
    let mut text = String::new();
    let file: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(open_named(path).map_err(Failure::io("read", path))?)
    };
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(Failure::io("read", path))?;
    Ok(text)
}

/// Writes a proof or note to a file, or to stdout if none is named: as it is, or as the JSON object `answer`.
pub(super) fn write_text(out: Option<&Path>, text: &str, answer: Option<serde_json::Value>) -> Outcome {
    match answer {
        Some(answer) => write_out(out, format!("{answer}\n").as_bytes()),
        None => write_out(out, text.as_bytes()),
    }
}

/// Writes `bytes` to a file, or to stdout if none is named.
pub(super) fn write_out(out: Option<&Path>, bytes: &[u8]) -> Outcome {
    match out {
        Some(path) => {
            let mut destination = Destination::create(path)?;
            destination.file().write_all(bytes).map_err(Failure::io("write", path))?;
            destination.finish()
        }
        None => {
            let mut stdout = std::io::stdout();
            stdout.write_all(bytes)?;
            Ok(stdout.flush()?)
        }
    }
}
