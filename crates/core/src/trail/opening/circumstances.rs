//! The circumstances of an opening: on which host, in which folder, with which policy. `trail.opened` records them, and
//! also what differs from the last opening: otherwise a copy that is written to, or a policy that somebody put there
//! while nothing ran, would go unnoticed.
//!
//! The previous ones are read from the trail's own lines. Which lines these are is said by `trail.closed`, and after
//! another stop by the lines that recovery reads; only where neither does, by the file `opened`, which nothing signs:
//! whoever puts an older policy back can put that back too.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use trailseal_event::policy::Policy;
use trailseal_event::{Index, Object, Timestamp, Value};

use super::recover::Recovered;
use crate::file::folder_numbers;
use crate::folder::Folder;
use crate::own_lines::is_own;
use crate::segment::SegmentFile;
use crate::segment::{Form, LineReader, segment_name};
use crate::trail::reading::reader::Reader;

const POINTER_BYTES_MAX: u64 = 64;
/// A line this far ahead of the clock was not recorded by a correct clock, or the clock is wrong now.
const AHEAD_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// What an opening records about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Circumstances {
    host: String,
    device: u64,
    inode: u64,
    /// SHA-256 of the policy in force, as TOML.
    policy: String,
    /// Whether the folder keeps it: it overrides the options.
    is_policy_kept: bool,
    /// How far the last line is ahead of the clock, in seconds, if that is more than a day.
    pub(super) ahead_seconds: Option<i64>,
    /// What differs from the last opening, as far as that is known.
    pub(in crate::trail) differs: Vec<&'static str>,
    /// Whether something of the last opening is not known.
    pub(super) is_last_unknown: bool,
    /// The line that names the policy that was last in force.
    policy_named_by: Option<u64>,
}

impl Folder {
    fn opened_file(&self) -> PathBuf {
        self.root().join("opened")
    }

    /// Records that line `index` describes the opening and the policy in force.
    pub(super) fn note_opened(&self, index: u64) -> io::Result<()> {
        self.note(index, index)
    }

    /// Records that line `index` describes the policy in force from now on.
    pub(in crate::trail) fn note_policy(&self, index: u64) -> io::Result<()> {
        let (opened, _) = self.noted().unwrap_or((index, index));
        self.note(opened, index)
    }

    /// Not synced: after a power loss the lines tell, or the next opening says that it does not know.
    fn note(&self, opened: u64, policy: u64) -> io::Result<()> {
        // Of one width, so that it can be overwritten.
        let text = format!("{opened:020} {policy:020}\n");
        match self.noted() {
            Some(_) => self.files().open_append(&self.opened_file(), 0)?.append(text.as_bytes()),
            None => self.files().replace(&self.opened_file(), text.as_bytes(), false),
        }
    }

    /// The lines that the next opening reads.
    pub(in crate::trail) fn pointed_at(&self) -> BTreeSet<u64> {
        self.noted().map_or_else(BTreeSet::new, |(opened, policy)| [opened, policy].into())
    }

    fn noted(&self) -> Option<(u64, u64)> {
        let text = self.files().read(&self.opened_file(), POINTER_BYTES_MAX).ok()?;
        let (opened, policy) = std::str::from_utf8(&text).ok()?.trim_end().split_once(' ')?;
        Some((opened.parse().ok()?, policy.parse().ok()?))
    }
}

/// The policy's name in the trail's own events: SHA-256 of its text.
pub fn policy_hash(policy: &Policy) -> String {
    let digest = Sha256::digest(policy.to_toml().as_bytes());
    digest.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The circumstances of this opening, compared with the last one's. The policy in force may be one that the folder keeps.
pub(super) fn circumstances(
    folder: &Folder,
    (policy, is_policy_kept): (&Policy, bool),
    recovered: &Recovered,
    now: Timestamp,
) -> Circumstances {
    // The folder was listed and locked before, so it exists; on the file systems of tests it has no numbers.
    let (device, inode) = folder_numbers(folder.root());
    let ahead = recovered.recorded.map_or(0, |recorded| recorded.as_micros().saturating_sub(now.as_micros()));
    let mut here = Circumstances {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        device,
        inode,
        policy: policy_hash(policy),
        is_policy_kept,
        ahead_seconds: (ahead > AHEAD_MICROS).then_some(ahead / 1_000_000),
        differs: Vec::new(),
        is_last_unknown: false,
        policy_named_by: None,
    };
    if recovered.next > 0 {
        here.compare(folder, recovered);
    }
    here
}

/// The details of one of the trail's own lines.
fn details(folder: &Folder, recovered: &Recovered, index: u64, actions: &[&str]) -> Option<Object> {
    let line = line(folder, recovered, index)?;
    actions.iter().find(|action| is_own(&line, action))?;
    Value::parse(&line).ok()?.get("details")?.as_object().cloned()
}

fn line(folder: &Folder, recovered: &Recovered, index: u64) -> Option<Vec<u8>> {
    if index >= recovered.next {
        return None;
    }
    // The open segment has no offset file, but its writer knows.
    let known = recovered.segment.as_ref().and_then(|segment| segment.line_before(index));
    let Some((segment, known, offset)) = known else {
        let mut reader = Reader::open(folder.root(), folder.files().clone()).ok()?;
        return reader.line(Index::new(index)).ok()?;
    };
    let path = folder.segments_folder().join(segment_name(Index::new(segment), Form::Plain));
    let segment = SegmentFile { first: Index::new(segment), end: None, form: Form::Plain, path };
    let mut lines = LineReader::open_for_few(folder.files(), &segment, offset).ok()?;
    for _ in known..index {
        lines.next_line().ok()??;
    }
    lines.next_line().ok()?.map(<[u8]>::to_vec)
}

impl Circumstances {
    /// Looks for what differs from the last opening.
    fn compare(&mut self, folder: &Folder, recovered: &Recovered) {
        let noted = folder.noted();
        let said = recovered.said.clone().filter(|_| !cfg!(trailseal_fault = "policy_of_note_believed"));
        let opened = said.as_ref().and_then(|said| said.opened).or(noted.map(|(opened, _)| opened));
        match opened.and_then(|index| details(folder, recovered, index, &["trail.opened"])) {
            Some(last) => {
                let number = |key: &str| last.get(key).and_then(Value::as_u64);
                if last.get("host").and_then(Value::as_str) != Some(&self.host) {
                    self.differs.push("host");
                }
                if number("device") != Some(self.device) || number("inode") != Some(self.inode) {
                    self.differs.push("folder");
                }
            }
            None => self.is_last_unknown = true,
        }
        let read = |index: u64| {
            let named = details(folder, recovered, index, &["trail.opened", "trail.policy_changed"])?;
            Some((index, named.get("policy").and_then(Value::as_str)?.to_owned()))
        };
        let named = said.map(|said| (said.index, said.policy)).or_else(|| noted.and_then(|(_, at)| read(at)));
        match &named {
            Some((_, policy)) if *policy != self.policy => self.differs.push("policy"),
            Some(_) => {}
            None => self.is_last_unknown = true,
        }
        self.policy_named_by = named.map(|(index, _)| index);
    }

    /// Adds them to the details of `trail.opened`.
    pub(super) fn add_to(&self, details: &mut Object) {
        details.insert("host", self.host.as_str());
        details.insert("device", self.device);
        details.insert("inode", self.inode);
        details.insert("policy", self.policy.as_str());
        if self.is_policy_kept {
            details.insert("policy_kept", true);
        }
        if let Some(index) = self.policy_named_by {
            details.insert("policy_before", index);
        }
        if self.is_last_unknown {
            details.insert("last_opening", "unknown");
        }
        if !self.differs.is_empty() {
            let differs = self.differs.iter().map(|what| Value::from(*what)).collect();
            details.insert("differs", Value::Array(differs));
        }
        if let Some(seconds) = self.ahead_seconds {
            details.insert("recorded_ahead_seconds", seconds);
        }
    }
}
