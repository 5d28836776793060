//! Sampling: which events of a share are kept.
//!
//! The correlation id is hashed with a secret of the installation, by SipHash-1-3, which is made for keys that
//! an attacker chooses: without the secret nobody can say which id is kept, nor learn it from the ids that were.
//! What is kept at some rate is kept at every higher one.

use std::hash::Hasher as _;
use std::io;
use std::path::PathBuf;

use siphasher::sip::SipHasher13;

use crate::complete::random;
use crate::trail::Folder;

const SECRET_BYTES: usize = 16;

/// Decides by a secret which events of a share are kept.
#[derive(Clone)]
pub struct Sampler {
    secret: [u8; SECRET_BYTES],
}

/// Why the secret could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// A file operation failed.
    #[error("could not read or make the sampling secret {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file does not hold one.
    #[error("{} does not hold 32 hex digits: remove it, and another secret is made", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
}

impl Sampler {
    /// With this secret.
    pub fn new(secret: [u8; SECRET_BYTES]) -> Sampler {
        Sampler { secret }
    }

    /// With the secret of a trail, in its file `keys/sampling`, which is made at first use for its owner alone.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds something else.
    pub fn load_or_make(folder: &Folder) -> Result<Sampler, SamplerError> {
        let path = folder.keys_folder().join("sampling");
        let failed = |source| SamplerError::Io { path: path.clone(), source };
        match folder.files().read(&path, 1_024) {
            Ok(bytes) => {
                let secret = parse(&bytes).ok_or_else(|| SamplerError::Unreadable { path: path.clone() })?;
                Ok(Sampler { secret })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut secret = [0; SECRET_BYTES];
                getrandom::fill(&mut secret).map_err(|error| failed(io::Error::other(error)))?;
                let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
                folder.files().replace(&path, format!("{text}\n").as_bytes(), true).map_err(failed)?;
                Ok(Sampler { secret })
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether an event is among the share `rate`: with all others of its correlation id (or, without one, with
    /// itself when it is sent again under its id), or, without either, by chance.
    pub fn keeps(&self, correlation_id: Option<&str>, rate: f64) -> bool {
        let point = match correlation_id {
            Some(id) => {
                let secret =
                    if cfg!(trailseal_fault = "sampling_without_secret") { [0; 16] } else { self.secret };
                let mut hasher = SipHasher13::new_with_key(&secret);
                hasher.write(id.as_bytes());
                hasher.finish()
            }
            None => {
                let [a, b, c, d, e, f, g, h, ..] = random();
                u64::from_le_bytes([a, b, c, d, e, f, g, h])
            }
        };
        // 53 bits are what a double holds exactly.
        ((point >> 11) as f64) < rate * (1u64 << 53) as f64
    }
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sampler(secret)")
    }
}

fn parse(bytes: &[u8]) -> Option<[u8; SECRET_BYTES]> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let mut secret = [0; SECRET_BYTES];
    if text.len() != 2 * SECRET_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(secret)
}
