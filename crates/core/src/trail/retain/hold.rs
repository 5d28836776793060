//! Legal holds: what matches one is not retired, however old it is.
//!
//! They are kept in `holds.toml`. A new one is in force before its event is recorded, and a removed one until its event
//! is on disk: whatever dies in between, too much is held, never too little. An opening records the event that a killed
//! process did not.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trailseal_event::filter::{Filter, LastingFilter, ResourceFilter, parse_time};
use trailseal_event::mask::MaskKey;
use trailseal_event::{Index, Object, Timestamp, Value};

use super::super::slots::slots_in;
use super::error::HoldError;
use crate::deadline;
use crate::folder::Folder;
use crate::manifest::Manifest;
use crate::trail::keys::secrets::{SecretError, load_mask_key};
use crate::trail::open_trail::Trail;

const FILE_BYTES_MAX: u64 = 16 << 20;
const NAME_CHARS_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 4_096;
const EVENT_TIMEOUT: Duration = Duration::from_secs(10);
/// The filters that are times: one such as `24h` counts back from when the hold is added.
const TIMES: [&str; 4] = ["since", "until", "recorded_since", "recorded_until"];

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its name.
    pub name: String,
    /// The reason for the hold.
    pub reason: String,
    /// Names and values of [`Filter::set`]. A value that masking hashes stands here as its hash, and holds the events
    /// that have it in plain, too. Without any, it holds everything. What matches when a retirement runs is held, also
    /// events recorded after the hold was added.
    #[serde(default)]
    pub filters: Vec<(String, String)>,
    /// When it was added, in RFC 3339.
    pub added: String,
    /// The event that says so; `None` only between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Whether several trails have it, whose servers decide together: then it is a copy of what they decided.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

/// A hold was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldAdded {
    /// The event that says so.
    pub index: Index,
    /// How many events a retirement had already announced, and has not removed yet: the hold is not applied to them.
    pub announced: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holds {
    #[serde(default)]
    hold: Vec<Hold>,
}

impl Hold {
    /// What it holds, the trail's own events included.
    fn filter(&self) -> Result<Filter, HoldError> {
        let mut filter = Filter { system: true, ..Filter::default() };
        for (name, value) in &self.filters {
            filter.set(name, value, Timestamp::default())?;
        }
        filter.system = true;
        Ok(filter)
    }
}

/// The holds that may hold lines of the trail in `folder`, by name, each with what it holds. `keys` are those by which it may keep
/// a value as its hash, while the lines have that in plain.
pub(in super::super) fn lasting_filters(
    folder: &Folder,
    holds: &[Hold],
    keys: &[MaskKey],
) -> Result<Vec<(String, LastingFilter)>, HoldError> {
    let mut filters = Vec::with_capacity(holds.len());
    for hold in holds {
        let filter = hold.filter()?;
        if filter.origin.is_empty() || may_be_of(folder, &filter.origin) {
            filters.push((hold.name.clone(), filter.lasting(keys)));
        }
    }
    Ok(filters)
}

/// Whether the trail has one of these names; also if nobody knows its name.
fn may_be_of(folder: &Folder, origins: &[String]) -> bool {
    match Manifest::read(folder) {
        Ok(Some(manifest)) => origins.iter().any(|origin| origin == manifest.origin.as_str()),
        _ => true,
    }
}

impl Folder {
    fn holds_file(&self) -> PathBuf {
        self.root().join("holds.toml")
    }
}

/// The holds of the trail in `folder`, for anybody who may read it.
///
/// # Errors
/// When their file cannot be read.
pub fn holds_in(folder: &Folder) -> Result<Vec<Hold>, HoldError> {
    let path = folder.holds_file();
    let bytes = match folder.files().read(&path, FILE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(HoldError::Io { action: "read", path, source }),
        Ok(bytes) => bytes,
    };
    let damaged = |error: &dyn std::fmt::Display| HoldError::Damaged {
        path: path.clone(),
        what: format!("is damaged, so nothing is retired: put back the right one ({error})"),
    };
    let text = String::from_utf8(bytes).map_err(|error| damaged(&error))?;
    let holds: Holds = toml::from_str(&text).map_err(|error| damaged(&error.message()))?;
    Ok(holds.hold)
}

fn write(folder: &Folder, hold: Vec<Hold>) -> Result<(), HoldError> {
    let path = folder.holds_file();
    let failed = |source| HoldError::Io { action: "write", path: path.clone(), source };
    let text = toml::to_string(&Holds { hold }).map_err(|error| failed(io::Error::other(error)))?;
    folder.files().replace(&path, text.as_bytes(), true).map_err(failed)
}

impl Trail {
    /// The legal holds.
    ///
    /// # Errors
    /// When their file cannot be read.
    pub fn holds(&self) -> Result<Vec<Hold>, HoldError> {
        holds_in(self.folder())
    }

    /// Adds a legal hold on what `filters` select: names and values of [`Filter::set`]. With none, it holds everything.
    /// It is in force when this returns, except for events that a retirement has announced.
    ///
    /// # Errors
    /// When there is a hold of this name, a filter is not understood, or the disk fails.
    pub fn add_hold(
        &self,
        name: &str,
        reason: &str,
        filters: &[(String, String)],
    ) -> Result<HoldAdded, HoldError> {
        let _lock = self.inner.hold_lock()?;
        check(name, reason)?;
        let now = self.inner.log.clock.now();
        let filters = filters.iter().map(|(name, value)| self.as_held(name, value, now));
        let filters = filters.collect::<Result<Vec<_>, _>>()?;
        let hold = Hold {
            name: name.into(),
            reason: reason.into(),
            filters,
            added: now.to_string(),
            index: None,
            shared: false,
        };
        hold.filter()?;
        let announced = self.lock_holds();
        let before = self.holds()?;
        if before.iter().any(|other| other.name == name) {
            return Err(HoldError::Exists { name: name.into() });
        }
        let mut holds = before.clone();
        holds.push(hold);
        write(self.folder(), holds.clone())?;
        let recorded = self.record_hold("trail.hold_added", holds.last());
        let index = match recorded {
            Ok(index) => index,
            Err(error) => {
                // Refused: it is not in the trail and must not be in force.
                write(self.folder(), before)?;
                return Err(error);
            }
        };
        self.wait_for_hold(index)?;
        if let Some(hold) = holds.last_mut() {
            hold.index = Some(index);
        }
        write(self.folder(), holds)?;
        Ok(HoldAdded { index: Index::new(index), announced: *announced })
    }

    /// Removes a legal hold; returns the event that says so.
    ///
    /// # Errors
    /// When there is none of this name, or the disk fails: then it is still in force.
    pub fn remove_hold(&self, name: &str) -> Result<Index, HoldError> {
        let _lock = self.inner.hold_lock()?;
        let _held = self.lock_holds();
        let mut holds = self.holds()?;
        // Of its own, before one that it only has a copy of.
        let of_name = |is_shared| holds.iter().position(|hold| hold.name == name && hold.shared == is_shared);
        let Some(at) = of_name(false).or_else(|| of_name(true)) else {
            return Err(HoldError::Unknown { name: name.into() });
        };
        let index = self.record_hold("trail.hold_removed", holds.get(at))?;
        self.wait_for_hold(index)?;
        holds.remove(at);
        write(self.folder(), holds)?;
        Ok(Index::new(index))
    }

    /// A hold as several trails can have it, added now. It is not in force yet: see [`follow_holds`](Trail::follow_holds).
    ///
    /// # Errors
    /// When it cannot be one, or a value would be kept as a hash, which means something to this trail alone.
    pub fn hold_to_share(
        &self,
        name: &str,
        reason: &str,
        filters: &[(String, String)],
    ) -> Result<Hold, HoldError> {
        check(name, reason)?;
        let now = self.inner.log.clock.now();
        let mut held = Vec::with_capacity(filters.len());
        for (filter, value) in filters {
            if filter != "text" && self.shown(filter, value) != *value {
                return Err(HoldError::Masked { filter: filter.clone() });
            }
            held.push(self.as_held(filter, value, now)?);
        }
        let (name, reason, added) = (name.to_owned(), reason.to_owned(), now.to_string());
        let hold = Hold { name, reason, filters: held, added, index: None, shared: true };
        hold.filter()?;
        Ok(hold)
    }

    /// Makes the trail's copies of shared holds these, and records each change. Returns how many events a retirement had
    /// already announced, and has not removed yet.
    ///
    /// # Errors
    /// When a filter is not understood, or the disk fails. Whatever was added is held then, and what was removed is, too.
    pub fn follow_holds(&self, shared: &[Hold]) -> Result<u64, HoldError> {
        let _lock = self.inner.hold_lock()?;
        let announced = self.lock_holds();
        let mut holds = self.holds()?;
        let is_in = |hold: &Hold, others: &[Hold]| {
            let what =
                |hold: &Hold| (hold.shared, hold.name.clone(), hold.reason.clone(), hold.filters.clone());
            others.iter().any(|other| what(other) == what(hold))
        };
        let gone: Vec<Hold> =
            holds.iter().filter(|hold| hold.shared && !is_in(hold, shared)).cloned().collect();
        let new: Vec<Hold> =
            shared.iter().filter(|hold| hold.shared && !is_in(hold, &holds)).cloned().collect();
        let is_told = |hold: &Hold| !hold.shared || hold.index.is_some();
        if gone.is_empty() && new.is_empty() && holds.iter().all(is_told) {
            return Ok(*announced);
        }
        new.iter().try_for_each(|hold| hold.filter().map(drop))?;
        holds.extend(new.into_iter().map(|hold| Hold { index: None, ..hold }));
        write(self.folder(), holds.clone())?;
        let mut last = None;
        for hold in holds.iter_mut().filter(|hold| !is_told(hold)) {
            let index = self.record_hold("trail.hold_added", Some(hold))?;
            (hold.index, last) = (Some(index), Some(index));
        }
        for hold in &gone {
            last = Some(self.record_hold("trail.hold_removed", Some(hold))?);
        }
        last.map_or(Ok(()), |index| self.wait_for_hold(index))?;
        holds.retain(|hold| !hold.shared || is_in(hold, shared));
        write(self.folder(), holds)?;
        Ok(*announced)
    }

    /// Takes over the holds of the other slots if this one never had any: what they hold is held here, too. Their events
    /// are recorded by [`tell_holds`](Trail::tell_holds).
    pub(in super::super) fn take_over_holds(&self, first_slot: &Path) -> Result<(), HoldError> {
        let _held = self.lock_holds();
        let (folder, Some(slots)) = (self.folder(), first_slot.parent()) else { return Ok(()) };
        // An empty file says that they were removed here.
        if folder.files().open_read(&folder.holds_file()).is_ok() {
            return Ok(());
        }
        let failed = |source| HoldError::Io { action: "list", path: slots.to_owned(), source };
        let mut holds: Vec<Hold> = Vec::new();
        for slot in slots_in(slots, &**folder.files()).map_err(failed)? {
            for hold in holds_in(&Folder::new(&slot.path, folder.files().clone()))? {
                if holds.iter().all(|other| other.name != hold.name) {
                    holds.push(Hold { index: None, ..hold });
                }
            }
        }
        if holds.is_empty() { Ok(()) } else { write(folder, holds) }
    }

    /// Records the events of holds that a killed process has added without.
    pub(in super::super) fn tell_holds(&self) -> Result<(), HoldError> {
        let _held = self.lock_holds();
        let mut holds = self.holds()?;
        if holds.iter().all(|hold| hold.index.is_some()) {
            return Ok(());
        }
        for at in 0..holds.len() {
            if holds[at].index.is_none() {
                let index = self.record_hold("trail.hold_added", holds.get(at))?;
                self.wait_for_hold(index)?;
                holds[at].index = Some(index);
            }
        }
        write(self.folder(), holds)
    }

    /// The keys by which a hold may keep a value as its hash: the trail's own, and one that the settings give.
    pub(in super::super) fn mask_keys(&self) -> Result<Vec<MaskKey>, SecretError> {
        let own = load_mask_key(self.folder())?;
        Ok(self.inner.masker.given_key().cloned().into_iter().chain(own).collect())
    }

    /// How many events are announced and not removed yet. While it is held, nothing is announced and no hold changes.
    pub(in super::super) fn lock_holds(&self) -> MutexGuard<'_, u64> {
        self.inner.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A filter as it is kept: without what masking would hide, and with a time in the place of an age.
    fn as_held(&self, name: &str, value: &str, now: Timestamp) -> Result<(String, String), HoldError> {
        // A hold on a text finds it, so it is kept as it is.
        let shown = if name == "text" { Cow::Borrowed(value) } else { self.shown(name, value) };
        // Refuses what is not understood, with the value as it was given.
        Filter::default().set(name, value, now)?;
        if name == "resource" && shown != value {
            let ResourceFilter { kind, id } = ResourceFilter::parse(value);
            // Its hash would be that of more than the id, or the kept type would have a part of the id in it.
            if !kind.is_empty() && id.is_some_and(|id| id.contains('/')) {
                return Err(HoldError::Resource);
            }
        }
        let time = TIMES.contains(&name).then(|| parse_time(value, now)).flatten();
        Ok((name.to_owned(), time.map_or_else(|| shown.into_owned(), |time| time.to_string())))
    }

    fn record_hold(&self, action: &'static str, hold: Option<&Hold>) -> Result<u64, HoldError> {
        let mut details = Object::default();
        if let Some(hold) = hold {
            details.insert("name", hold.name.as_str());
            details.insert("reason", hold.reason.as_str());
            let mut filters = Object::default();
            for (name, value) in &hold.filters {
                let mut values = match filters.get(name) {
                    Some(Value::Array(values)) => values.clone(),
                    _ => Vec::new(),
                };
                values.push(Value::from(value.as_str()));
                filters.insert(name, Value::Array(values));
            }
            details.insert("filters", Value::Object(filters));
        }
        Ok(self.record_system(action, details)?)
    }

    fn wait_for_hold(&self, index: u64) -> Result<(), HoldError> {
        let log = &self.inner.log;
        log.wake_writer();
        match log.progress.wait_durable(index, deadline::after(EVENT_TIMEOUT)) {
            true => Ok(()),
            false => Err(HoldError::NotDurable),
        }
    }
}

fn check(name: &str, reason: &str) -> Result<(), HoldError> {
    let is_name = !name.is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && name.trim() == name
        && !name.chars().any(char::is_control);
    if !is_name {
        return Err(HoldError::Name { name: name.chars().take(NAME_CHARS_MAX).collect() });
    }
    match reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        true => Err(HoldError::Reason),
        false => Ok(()),
    }
}
