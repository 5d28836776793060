//! Checks whether everything that the writer holds open is still where it was left.
//!
//! The writer's thread checks every 100 ms. What somebody removed or replaced is recreated if nothing of theirs is in
//! the way, and reported; while the folder itself is elsewhere, nothing is created and nothing is accepted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::file::{Doubt, OpenFolder, StdFiles};
use crate::gate::Shut;
use crate::handoff::{self, Drain, Lies, Owner, Place, Ring};
use crate::lock::Lock;
use crate::log_state::Log;
use crate::notice::Notice;
use crate::personal::Mended;
use crate::segment::SegmentWriter;

/// How often recreating something is retried.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(1);

/// The writer's check of its files.
pub(crate) struct Watch {
    log: Arc<Log>,
    lock: Arc<Lock>,
    lock_doubt: Doubt,
    lock_trouble: Trouble,
    /// The trail's folder; `None` if it cannot be held open.
    folder: Option<OpenFolder>,
    folder_doubt: Doubt,
    is_away: bool,
    /// `None` if the handoff is in plain memory.
    handoff: Option<PathBuf>,
    handoff_doubt: Doubt,
    handoff_trouble: Trouble,
    /// Set from when callers fill another ring until the previous one is drained.
    is_moving: bool,
    segment_doubt: Doubt,
    keys_trouble: Trouble,
}

impl Watch {
    /// Of a trail whose handoff is the file `handoff`.
    pub(crate) fn new(log: Arc<Log>, lock: Arc<Lock>, handoff: Option<PathBuf>) -> Self {
        let root = log.folder.root();
        let inodes_hold = log.folder.files().inode_numbers_hold(root).unwrap_or(false);
        if !inodes_hold {
            log.notice(&Notice::InodeNumbersChange { path: root.to_owned() });
        }
        let doubt = || Doubt::new(inodes_hold);
        Watch {
            folder: OpenFolder::open(root).ok(),
            lock,
            lock_doubt: doubt(),
            lock_trouble: Trouble::default(),
            folder_doubt: doubt(),
            is_away: false,
            handoff,
            handoff_doubt: doubt(),
            handoff_trouble: Trouble::default(),
            is_moving: false,
            segment_doubt: doubt(),
            keys_trouble: Trouble::default(),
            log,
        }
    }

    /// Whether the trail's path no longer leads to the folder that was opened: then nothing may be created by its name.
    pub(crate) fn is_away(&self) -> bool {
        self.is_away
    }

    /// Checks everything. Everything below `durable` is durable.
    pub(crate) fn look(&mut self, drain: &mut Drain, durable: u64, segment: &mut Option<SegmentWriter>) {
        self.look_at_folder();
        if !self.is_away {
            self.look_at_lock();
            self.look_at_handoff(drain, durable);
            self.look_at_keys(false);
        }
        self.look_at_segment(segment);
    }

    /// Whether the folder was moved away, or is back.
    pub(crate) fn look_at_folder(&mut self) {
        let root = self.log.folder.root();
        let Some(folder) = &self.folder else { return };
        let is_away = self.folder_doubt.is_lost(folder.standing(root));
        if is_away == self.is_away {
            return;
        }
        self.is_away = is_away;
        let path = root.to_owned();
        if is_away {
            self.log.gate.close(Shut::FolderMoved);
            self.log.notice(&Notice::FolderMoved { path });
        } else {
            self.log.gate.open(Shut::FolderMoved);
            self.log.notice(&Notice::FolderBack { path });
        }
    }

    fn look_at_lock(&mut self) {
        // Before the first checkpoint nobody else misses its file. If another process holds it, `lock` still is ours.
        let _ = self.lock.hold_guard(&self.log.folder.tree_level(0));
        if !self.lock_doubt.is_lost(self.lock.standing()) || !self.lock_trouble.may_try() {
            return;
        }
        let path = self.log.folder.lock();
        match self.lock.put_back() {
            Ok(()) => {
                self.lock_doubt.forget();
                self.lock_trouble = Trouble::default();
                self.log.notice(&Notice::LockPutBack { path });
            }
            Err(error) => {
                if let Some(reason) = self.lock_trouble.news(&error) {
                    self.log.notice(&Notice::LockMissing { path, reason });
                }
            }
        }
    }

    fn look_at_handoff(&mut self, drain: &mut Drain, durable: u64) {
        let Some(path) = self.handoff.clone() else { return };
        if drain.is_moving() {
            return;
        }
        if std::mem::take(&mut self.is_moving) {
            // Only now: until the ring before was drained, a kill would have left a gap before what is in this one.
            self.log.counters.handoffs_remade.add(1);
            self.log.notice(&Notice::HandoffRemade { path });
            return;
        }
        if !self.handoff_doubt.is_lost(drain.standing(&path)) || !self.handoff_trouble.may_try() {
            return;
        }
        match self.make_handoff(&path, drain, durable) {
            Ok(ring) => {
                self.log.handoff.go_on_in(drain, ring);
                self.handoff_doubt.forget();
                self.handoff_trouble = Trouble::default();
                self.is_moving = true;
            }
            Err(error) => {
                if let Some(reason) = self.handoff_trouble.news(&error) {
                    self.log.notice(&Notice::HandoffLost { path, reason });
                }
            }
        }
    }

    /// A new ring in the handoff's place, if there is nothing of anybody else's. A handoff of this trail by another
    /// writer (of a copy, or an earlier one) may hold what that one accepted.
    fn make_handoff(&self, path: &Path, drain: &Drain, durable: u64) -> io::Result<Ring> {
        let owner = Owner::of(self.log.folder.root(), self.log.origin.as_str());
        let is_at_home = path == self.log.folder.handoff();
        match handoff::lies_at(&StdFiles, path, &owner) {
            Lies::Nothing => {}
            Lies::Empty if is_at_home => handoff::remove(path)?,
            Lies::Own if self.log.handoff.is_own_generation(path) => {}
            Lies::Own | Lies::Elsewhere => {
                return Err(io::Error::other("another writer's handoff is there: move it away"));
            }
            Lies::Empty | Lies::Foreign => {
                return Err(io::Error::other("another file is there and is left unchanged: move it away"));
            }
        }
        Ring::new(&Place::File(path.to_owned()), drain.capacity(), &owner, durable)
    }

    /// Whether the key file is where it was; a last look believes what it sees.
    pub(crate) fn look_at_keys(&mut self, is_last: bool) {
        let Some(keys) = self.log.personal.get().filter(|_| !self.is_away) else { return };
        if keys.is_away() && !self.keys_trouble.may_try() {
            return;
        }
        let path = keys.path().to_owned();
        match keys.keep_in_place(is_last) {
            Ok(None) => {}
            Ok(Some(mended)) => {
                self.keys_trouble = Trouble::default();
                if let Mended::Overwritten(_) = mended {
                    self.log.notice(&Notice::PersonalKeysDiffer { path: path.clone(), what: "overwritten" });
                }
                match mended {
                    Mended::Removed => self.log.notice(&Notice::PersonalKeysRemade { path }),
                    Mended::Replaced(aside) | Mended::Overwritten(Some(aside)) => {
                        self.log.notice(&Notice::PersonalKeysReplaced { path, aside });
                    }
                    Mended::Overwritten(None) => {}
                }
            }
            Err(error) => {
                if let Some(reason) = self.keys_trouble.news(&error) {
                    self.log.notice(&Notice::PersonalKeysMissing { path, reason });
                }
            }
        }
    }

    /// Whether the open segment must be abandoned; `verify` names what is missing in it.
    pub(crate) fn look_at_segment(&mut self, segment: &mut Option<SegmentWriter>) {
        let Some(open) = segment else { return };
        if self.is_away && !open.is_unlinked() {
            // It went with the folder, and lines continue to go into it.
            return;
        }
        if self.segment_doubt.is_lost(open.standing()) {
            let first = open.first();
            // Dropped without finishing: the name is somebody else's now, or lines are gone.
            *segment = None;
            self.segment_doubt.forget();
            self.log.counters.segments_replaced.add(1);
            self.log.notice(&Notice::SegmentReplaced { first });
        }
    }
}

/// Something that cannot be recreated: retried now and then, and reported when the reason changes.
#[derive(Default)]
struct Trouble {
    tried: Option<Instant>,
    told: Option<String>,
}

impl Trouble {
    fn may_try(&mut self) -> bool {
        if self.tried.is_some_and(|tried| tried.elapsed() < TRY_AGAIN_EVERY) {
            return false;
        }
        self.tried = Some(Instant::now());
        true
    }

    /// The reason, unless it was already reported.
    fn news(&mut self, error: &io::Error) -> Option<String> {
        let reason = error.to_string();
        (self.told.as_ref() != Some(&reason)).then(|| self.told.insert(reason).clone())
    }
}
