//! The keys of people for whoever reads a folder: that of a trail, or of several slots.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trailseal_event::personal::{Key, KeyName, PersonalKeys};

use crate::file::Files;
use crate::folder::Folder;
use crate::personal::{PersonalKeysError, PersonalKeysOptions, open_personal_keys};
use crate::trail::slots::{beside_slots, trails_in};

/// How often to look for key files that came later, at most: opening one may run the command for its master key.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Opens personal values of all trails in a folder, by their key files. An erasure by another process is seen at once, and
/// a key file that comes later soon.
pub struct PersonalKeysIn {
    dir: PathBuf,
    files: Arc<dyn Files>,
    options: PersonalKeysOptions,
    known: Mutex<Known>,
}

struct Known {
    by_folder: HashMap<PathBuf, Arc<dyn PersonalKeys>>,
    looked: Instant,
}

impl PersonalKeysIn {
    /// Opens the key files of the trail in folder `dir`, or of the slots in it; there may be none.
    ///
    /// # Errors
    /// When a key file or the master key cannot be used.
    pub fn open(
        dir: &Path,
        files: Arc<dyn Files>,
        options: PersonalKeysOptions,
    ) -> Result<PersonalKeysIn, PersonalKeysError> {
        let known = Mutex::new(Known { by_folder: HashMap::new(), looked: Instant::now() });
        let keys = PersonalKeysIn { dir: dir.to_owned(), files, options, known };
        keys.look(&mut keys.lock())?;
        Ok(keys)
    }

    /// Whether there is no key file.
    pub fn is_empty(&self) -> bool {
        self.lock().by_folder.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the key files that are not open yet.
    fn look(&self, known: &mut Known) -> Result<(), PersonalKeysError> {
        known.looked = Instant::now();
        // A folder that cannot be listed has no trail that could be read either.
        for folder in trails_in(&self.dir, &*self.files).unwrap_or_default() {
            if known.by_folder.contains_key(&folder) {
                continue;
            }
            let mut options = self.options.clone();
            if folder != self.dir {
                options.file = options.file.map(|path| beside_slots(&path, &folder));
            }
            let keys = open_personal_keys(&Folder::new(&folder, self.files.clone()), &options)?;
            known.by_folder.extend(keys.map(|keys| (folder, keys)));
        }
        Ok(())
    }
}

impl PersonalKeys for PersonalKeysIn {
    fn key(&self, name: KeyName) -> Key {
        let mut known = self.lock();
        let ask = |known: &Known| {
            let mut answers = known.by_folder.values().map(|keys| keys.key(name));
            answers.find(|key| !matches!(key, Key::Elsewhere)).unwrap_or(Key::Elsewhere)
        };
        let key = ask(&known);
        if !matches!(key, Key::Elsewhere) || known.looked.elapsed() < LOOK_EVERY {
            return key;
        }
        // What cannot be opened now stays unreadable.
        let _ = self.look(&mut known);
        ask(&known)
    }
}
