//! Opens or makes a trail's key file.

use std::io;
use std::path::{Path, PathBuf};

use trailseal_event::{Object, Value};

use super::key_slot::{HEADER_BYTES, KeyFileHeader, NoWrappingKey, SLOT_BYTES, Wrapping};
use super::key_store::{KeyStore, ROOM_STEP};
use super::master_key::PersonalKeysOptions;
use crate::file::Files;
use crate::folder::Folder;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PersonalKeysError {
    /// A file operation failed.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The master key could not be had.
    #[error("could not get {what}, which the keys in {} need", path.display())]
    Master {
        /// Where it should come from.
        what: String,
        /// The key file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be used as it is.
    #[error("{} {what}", path.display())]
    Unusable {
        /// The key file.
        path: PathBuf,
        /// Why, and what to do.
        what: String,
    },
}

/// Where a trail's key file is.
pub fn key_file(folder: &Folder, options: &PersonalKeysOptions) -> PathBuf {
    options.file.clone().unwrap_or_else(|| folder.keys_folder().join("personal"))
}

/// What a trail's own line says of its key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SaidKeys {
    pub(crate) file: u32,
    /// The first slot that was never used.
    pub(crate) slots: u64,
}

impl SaidKeys {
    pub(crate) fn from_value(value: &Value) -> Option<SaidKeys> {
        let file = u32::from_str_radix(value.get("file")?.as_str()?, 16).ok()?;
        Some(SaidKeys { file, slots: value.get("slots")?.as_u64()? })
    }

    /// As the trail's own lines say it.
    pub(crate) fn to_details(self) -> Object {
        let mut details = Object::default();
        details.insert("file", format!("{:08x}", self.file));
        details.insert("slots", self.slots);
        details
    }
}

/// What an opening found of the key file, if it is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeysFound {
    /// `lost`, `damaged`, `another`, `older`.
    pub(crate) trouble: Option<&'static str>,
    /// Where a damaged one was put.
    pub(crate) put_aside: Option<PathBuf>,
    /// Slots that lines name and that have no key after a power loss.
    pub(crate) lost: u64,
    /// Slots whose bytes are damaged.
    pub(crate) damaged: u64,
    /// Keys that were destroyed again.
    pub(crate) erased_again: u64,
}

pub(super) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> PersonalKeysError + use<> {
    let path = path.to_owned();
    move |source| PersonalKeysError::Io { action, path, source }
}

/// The master key, if one is set.
pub(super) fn master_key(
    folder: &Folder,
    options: &PersonalKeysOptions,
) -> Result<Option<[u8; 32]>, PersonalKeysError> {
    let Some(master) = &options.master else { return Ok(None) };
    let path = key_file(folder, options);
    let failed = |source| PersonalKeysError::Master { what: master.described(), path, source };
    master.load(&**folder.files()).map(Some).map_err(failed)
}

/// The header of a key file; `None` if there is no file, `Some(None)` if it has no header.
pub(super) fn read_header(
    folder: &Folder,
    path: &Path,
) -> Result<Option<Option<KeyFileHeader>>, PersonalKeysError> {
    let file = match folder.files().open_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed("open", path))?,
    };
    let mut bytes = vec![0; HEADER_BYTES as usize];
    let count = file.read_at(0, &mut bytes).map_err(failed("read", path))?;
    Ok(Some(KeyFileHeader::parse(&bytes[..count])))
}

/// What wraps the keys of a file with this header.
pub(super) fn wrapping(
    header: &KeyFileHeader,
    path: &Path,
    origin: &str,
    master: Option<&[u8; 32]>,
) -> Result<[u8; 32], PersonalKeysError> {
    let unusable = |what: &str| PersonalKeysError::Unusable { path: path.to_owned(), what: what.to_owned() };
    if !header.is_of(origin) {
        return Err(unusable("has the personal keys of another trail: each trail needs a file of its own"));
    }
    header.wrapping_key(master).map_err(|why| match why {
        NoWrappingKey::NeedsMaster => {
            unusable("is wrapped by a master key: say in the settings where that comes from")
        }
        NoWrappingKey::OtherMaster => {
            unusable("is wrapped by another master key: use the one it was made with")
        }
    })
}

/// Opens the key file of a trail that is written. If there is none, one is made if `is_needed`.
pub(crate) fn open_or_make(
    folder: &Folder,
    origin: &str,
    options: &PersonalKeysOptions,
    is_needed: bool,
    said: Option<SaidKeys>,
) -> Result<Option<(KeyStore, KeysFound)>, PersonalKeysError> {
    let path = key_file(folder, options);
    let mut found = KeysFound::default();
    let header = match read_header(folder, &path)? {
        None if !is_needed => return Ok(None),
        None => {
            found.trouble = said.map(|_| "lost");
            make(folder, &path, origin, options)?
        }
        Some(Some(header)) => {
            found.trouble = match said {
                Some(said) if said.file != header.file => Some("another"),
                _ => None,
            };
            header
        }
        Some(None) => {
            found.trouble = Some("damaged");
            found.put_aside = Some(put_aside(folder, &path)?);
            make(folder, &path, origin, options)?
        }
    };
    let master = match header.is_wrapped() || options.master.is_some() {
        true => master_key(folder, options)?,
        false => None,
    };
    let key = wrapping(&header, &path, origin, master.as_ref())?;
    let file = folder.files().open_update(&path).map_err(failed("open", &path))?;
    if let Some(master) = master.filter(|_| !header.is_wrapped()) {
        // A master key was set later: from now on the file is useless without it.
        let wrapped = new_header(header.file, origin, &key, Some(&master)).map_err(failed("wrap", &path))?;
        file.write_at(0, &wrapped.to_bytes()).map_err(failed("write", &path))?;
        file.sync_data().map_err(failed("sync", &path))?;
    }
    let wrapping = Wrapping::new(header.file, &key).ok_or_else(|| PersonalKeysError::Unusable {
        path: path.clone(),
        what: "has a key that the cipher does not take".into(),
    })?;
    let store =
        KeyStore::load(folder.files(), &path, file, header.file, wrapping).map_err(failed("read", &path))?;
    found.damaged = store.damaged();
    let (id, used) = store.used();
    if let Some(said) = said.filter(|said| said.file == id && said.slots > used) {
        found.trouble = Some("older");
        if !cfg!(trailseal_fault = "personal_slots_used_again") {
            store.skip_to(said.slots, &[]).map_err(failed("write", &path))?;
        }
    }
    Ok(Some((store, found)))
}

fn make(
    folder: &Folder,
    path: &Path,
    origin: &str,
    options: &PersonalKeysOptions,
) -> Result<KeyFileHeader, PersonalKeysError> {
    let master = master_key(folder, options)?;
    let mut random = [0; 36];
    getrandom::getrandom(&mut random).map_err(io::Error::other).map_err(failed("make", path))?;
    let id = u32::from_le_bytes(std::array::from_fn(|place| random[place]));
    let key: [u8; 32] = std::array::from_fn(|place| random[4 + place]);
    let header = new_header(id, origin, &key, master.as_ref()).map_err(failed("make", path))?;
    let mut bytes = header.to_bytes().to_vec();
    bytes.resize(HEADER_BYTES as usize + ROOM_STEP as usize * SLOT_BYTES, 0);
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        folder.files().create_folder(above).map_err(failed("make", above))?;
    }
    folder.files().replace(path, &bytes, true).map_err(failed("make", path))?;
    Ok(header)
}

fn new_header(id: u32, origin: &str, key: &[u8; 32], master: Option<&[u8; 32]>) -> io::Result<KeyFileHeader> {
    let mut nonce = [0; 12];
    getrandom::getrandom(&mut nonce).map_err(io::Error::other)?;
    KeyFileHeader::new(id, origin, key, nonce, master)
        .ok_or_else(|| io::Error::other("the cipher does not take it"))
}

/// A file without a readable header: somebody may still mend it.
fn put_aside(folder: &Folder, path: &Path) -> Result<PathBuf, PersonalKeysError> {
    let aside = name_aside(&**folder.files(), path, "damaged");
    folder.files().rename(path, &aside).map_err(failed("rename", path))?;
    Ok(aside)
}

/// A name beside the key file that nothing has, such as `personal.damaged-0`.
pub(super) fn name_aside(files: &dyn Files, path: &Path, what: &str) -> PathBuf {
    let named = |number: u32| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{what}-{number}"));
        path.with_file_name(name)
    };
    let is_free =
        |aside: &PathBuf| files.open_read(aside).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    (0..u32::MAX).map(named).find(is_free).unwrap_or_else(|| named(u32::MAX))
}
