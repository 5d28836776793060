//! A trail's secrets: each in its own file in `keys/`, as hex digits, readable only by its owner.

use std::io;
use std::path::PathBuf;

use trailseal_event::mask::MaskKey;
use trailseal_event::policy::Sampler;

use crate::folder::Folder;

const FILE_BYTES_MAX: u64 = 1_024;

const MASK: Secret<32> = Secret {
    file: "mask",
    name: "masking key",
    way_on: "put the right key there, or remove it to have another one made",
    makes_folder: true,
};
/// It is the first that an opening loads. So a folder of keys that was taken away stops the opening, and no new masking key is
/// made in silence, whose hashes would not match those of older lines.
const SAMPLING: Secret<16> = Secret {
    file: "sampling",
    name: "sampling secret",
    way_on: "remove it to have another one made",
    makes_folder: false,
};

/// Why a secret could not be loaded or created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// A file operation failed.
    #[error("could not read or make the {name} {}", path.display())]
    Io {
        /// Which secret.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The file does not hold a key.
    #[error("{} does not hold {digits} hex digits: {way_on}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// How many it should hold.
        digits: usize,
        /// What can be done.
        way_on: &'static str,
    },
}

/// A trail's masking key, if it has been created.
///
/// # Errors
/// When its file cannot be read, or holds something else.
pub fn load_mask_key(folder: &Folder) -> Result<Option<MaskKey>, SecretError> {
    Ok(MASK.load(folder)?.map(MaskKey::new))
}

/// A trail's masking key, created if there is none yet.
pub(in crate::trail) fn load_or_make_mask_key(folder: &Folder) -> Result<MaskKey, SecretError> {
    Ok(MaskKey::new(MASK.load_or_make(folder)?))
}

/// Makes the masking key of `first` that of this trail. `None` while `first` has none.
pub(in crate::trail) fn take_over_mask_key(
    folder: &Folder,
    first: &Folder,
) -> Result<Option<MaskKey>, SecretError> {
    let Ok(theirs) = MASK.load(first) else {
        // A key that this process may not read is no reason not to record.
        return load_or_make_mask_key(folder).map(Some);
    };
    let Some(theirs) = theirs else { return Ok(None) };
    MASK.save(folder, &theirs)?;
    Ok(Some(MaskKey::new(theirs)))
}

/// A trail's sampler, with its secret, created if there is none yet.
pub(in crate::trail) fn load_or_make_sampler(folder: &Folder) -> Result<Sampler, SecretError> {
    Ok(Sampler::new(SAMPLING.load_or_make(folder)?))
}

struct Secret<const BYTES: usize> {
    file: &'static str,
    name: &'static str,
    way_on: &'static str,
    makes_folder: bool,
}

impl<const BYTES: usize> Secret<BYTES> {
    fn path(&self, folder: &Folder) -> PathBuf {
        folder.keys_folder().join(self.file)
    }

    fn failed(&self, folder: &Folder) -> impl Fn(io::Error) -> SecretError + use<BYTES> {
        let (name, path) = (self.name, self.path(folder));
        move |source| SecretError::Io { name, path: path.clone(), source }
    }

    fn load(&self, folder: &Folder) -> Result<Option<[u8; BYTES]>, SecretError> {
        let path = self.path(folder);
        match folder.files().read(&path, FILE_BYTES_MAX) {
            Ok(bytes) => parse(&bytes).map(Some).ok_or(SecretError::Unreadable {
                path,
                digits: 2 * BYTES,
                way_on: self.way_on,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(folder)(error)),
        }
    }

    fn load_or_make(&self, folder: &Folder) -> Result<[u8; BYTES], SecretError> {
        if let Some(secret) = self.load(folder)? {
            return Ok(secret);
        }
        let mut secret = [0; BYTES];
        getrandom::getrandom(&mut secret).map_err(|error| self.failed(folder)(io::Error::other(error)))?;
        self.save(folder, &secret)?;
        Ok(secret)
    }

    fn save(&self, folder: &Folder, secret: &[u8; BYTES]) -> Result<(), SecretError> {
        let failed = self.failed(folder);
        let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.makes_folder {
            folder.files().create_folder(&folder.keys_folder()).map_err(&failed)?;
        }
        folder.files().replace(&self.path(folder), format!("{text}\n").as_bytes(), true).map_err(&failed)
    }
}

fn parse<const BYTES: usize>(bytes: &[u8]) -> Option<[u8; BYTES]> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let mut secret = [0; BYTES];
    if text.len() != 2 * BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use super::*;
    use crate::file::StdFiles;

    #[test]
    fn a_secret_stays_with_the_trail_and_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), Arc::new(StdFiles));
        let error = load_or_make_sampler(&folder).unwrap_err().to_string();
        assert!(error.contains("could not read or make the sampling secret"), "{error}");
        std::fs::create_dir(folder.keys_folder()).unwrap();
        let (first, again) = (load_or_make_sampler(&folder).unwrap(), load_or_make_sampler(&folder).unwrap());
        let choices = |sampler: &Sampler| -> Vec<bool> {
            (0..64).map(|number| sampler.keeps(Some(&number.to_string()), 0.5)).collect()
        };
        assert_eq!(choices(&first), choices(&again));
        let path = folder.keys_folder().join("sampling");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "too short").unwrap();
        let error = load_or_make_sampler(&folder).unwrap_err().to_string();
        assert!(error.contains("32 hex digits: remove it"), "{error}");
        assert_eq!(format!("{first:?}"), "Sampler(secret)");
    }

    #[test]
    fn a_masking_key_is_made_once_and_taken_over() {
        let (dir, first) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = Folder::new(dir.path(), Arc::new(StdFiles));
        let first = Folder::new(first.path(), Arc::new(StdFiles));
        assert_eq!(take_over_mask_key(&folder, &first).unwrap(), None);
        let key = load_or_make_mask_key(&first).unwrap();
        assert_eq!(take_over_mask_key(&folder, &first).unwrap(), Some(key.clone()));
        assert_eq!(load_or_make_mask_key(&folder).unwrap(), key);
        std::fs::write(first.keys_folder().join("mask"), "ab").unwrap();
        assert_eq!(take_over_mask_key(&folder, &first).unwrap(), Some(key));
        let error = load_mask_key(&first).unwrap_err().to_string();
        assert!(error.contains("64 hex digits: put the right key there"), "{error}");
    }
}
