//! What an erasure would reach, and what it would not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use trailseal_event::mask::MaskKey;
use trailseal_event::personal::{KeyName, reveal, tokens};
use trailseal_event::{Index, Object, Timestamp, Value};

use super::{EraseError, held_by, known_as};
use crate::folder::Folder;
use crate::personal::{KeysRead, PersonalKeysOptions};
use crate::trail::keys::personal_keys::each_line;
use crate::trail::keys::secrets::load_mask_key;
use crate::trail::open_trail::Trail;
use crate::trail::reading::reader::Reader;
use crate::trail::retain::Hold;

/// Longer paths are cut.
const PATH_BYTES_MAX: usize = 512;
/// The most paths that are told apart.
const PATHS_MAX: usize = 1_000;

/// What an erasure would reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WouldErase {
    /// The names of the keys that it would destroy.
    pub keys: Vec<String>,
    /// How many values it would make unreadable, field by field. A place in a list is `*`.
    pub fields: Vec<(String, u64)>,
    /// Where the id itself stands in plain text, field by field: no erasure reaches that.
    pub plain: Vec<(String, u64)>,
    /// The legal holds that would stop it, each with how many events of the person it holds.
    pub held_by: Vec<(String, u64)>,
    /// Values of events that do not say whose they are, of anybody: no erasure of one person reaches them.
    pub without_subject: Vec<(String, u64)>,
    /// If there is nothing left to do: the event that erased the person before, and when.
    pub already: Option<(Index, Timestamp)>,
    /// The key file. Copies of it elsewhere keep what is destroyed here.
    pub key_file: PathBuf,
}

/// Paths, and how often each.
#[derive(Default)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn add(&mut self, path: &str) {
        let path = &path[..path.floor_char_boundary(PATH_BYTES_MAX)];
        let path = if self.0.len() < PATHS_MAX || self.0.contains_key(path) { path } else { "…" };
        *self.0.entry(path.to_owned()).or_default() += 1;
    }

    fn into_vec(self) -> Vec<(String, u64)> {
        self.0.into_iter().collect()
    }
}

impl Trail {
    /// What [`erase`](Trail::erase) would reach now, and what it would not. Changes nothing.
    ///
    /// # Errors
    /// When there are no keys at all, or the trail cannot be read. That nobody has the id is no error here: `keys` is empty.
    pub fn would_erase(&self, subject: &str) -> Result<WouldErase, EraseError> {
        self.inner.refuse_forked()?;
        let keys = self.keys()?;
        let keys_of = |ids: &[String]| {
            let (found, before) = keys.keys_of(ids.iter().map(String::as_str));
            (found.iter().map(|key| keys.name(key.slot)).collect::<Vec<KeyName>>(), before)
        };
        let found = Found::new(subject, &self.known_as(subject), keys_of);
        // What does not reach the disk in time is not counted.
        let _ = self.flush(super::SEAL_TIMEOUT);
        let mut would = found.would_erase(self.folder(), self.inner.log.progress.durable(), keys.path())?;
        would.held_by = self.held_by(&self.holds()?, &found.own)?;
        Ok(would)
    }
}

impl Reader {
    /// What [`Trail::erase`] would reach now, with these holds, and what it would not. `given` is the masking key of the settings,
    /// if they have one. Changes nothing.
    ///
    /// # Errors
    /// When there are no keys at all, or the folder cannot be read. That nobody has the id is no error here: `keys` is empty.
    pub fn would_erase(
        &self,
        subject: &str,
        options: &PersonalKeysOptions,
        given: Option<&MaskKey>,
        holds: &[Hold],
    ) -> Result<WouldErase, EraseError> {
        let folder = self.folder();
        let keys = KeysRead::open(folder, options)?.ok_or(EraseError::Off)?;
        let mask_keys: Vec<MaskKey> = given.cloned().into_iter().chain(load_mask_key(folder)?).collect();
        let known = known_as(subject, |id| mask_keys.first().map(|key| key.hash(id)));
        let found = Found::new(subject, &known, |ids| keys.keys_of(ids.iter().map(String::as_str)));
        // What only the handoff holds is in no segment yet.
        let durable = self.end().get() - self.only_in_handoff();
        let mut would = found.would_erase(folder, durable, keys.path())?;
        would.held_by = held_by(folder, durable, &mask_keys, holds, &found.own)?;
        Ok(would)
    }
}

/// Whose values are looked for.
struct Found<'a> {
    subject: &'a str,
    /// The names of their keys.
    own: Vec<KeyName>,
    /// The keys of values that name nobody.
    nobodys: Vec<KeyName>,
    /// The event that destroyed earlier keys of theirs, and when.
    before: Option<(u64, i64)>,
}

impl<'a> Found<'a> {
    fn new(
        subject: &'a str,
        known_as: &[String],
        keys_of: impl Fn(&[String]) -> (Vec<KeyName>, Option<(u64, i64)>),
    ) -> Self {
        let (own, before) = keys_of(known_as);
        let nobodys = if subject.is_empty() { Vec::new() } else { keys_of(&[String::new()]).0 };
        Found { subject, own, nobodys, before }
    }

    /// All but the holds.
    fn would_erase(&self, folder: &Folder, durable: u64, key_file: &Path) -> Result<WouldErase, EraseError> {
        let Found { subject, own, nobodys, before } = self;
        let (mut fields, mut plain, mut without) = (Counts::default(), Counts::default(), Counts::default());
        let visit = &mut |_: Index, line: &[u8]| {
            tokens(line, |token, pointer| {
                if own.contains(&token.key) {
                    fields.add(&as_path(pointer));
                } else if nobodys.contains(&token.key) {
                    without.add(&as_path(pointer));
                }
            });
            // Of what is sealed only the word is left.
            if !subject.is_empty()
                && may_hold(line, subject)
                && let Ok(Value::Object(event)) = Value::parse(&reveal(line, None))
            {
                count_plain(&event, subject, &mut plain);
            }
        };
        each_line(folder, durable, visit)
            .map_err(EraseError::io("read the lines in", &folder.segments_folder()))?;
        Ok(WouldErase {
            keys: own.iter().map(KeyName::to_string).collect(),
            fields: fields.into_vec(),
            plain: plain.into_vec(),
            held_by: Vec::new(),
            without_subject: without.into_vec(),
            already: before
                .filter(|_| own.is_empty())
                .map(|(by, at)| (Index::new(by), Timestamp::from_micros(at))),
            key_file: key_file.to_owned(),
        })
    }
}

/// Whether the text may stand in a line: one that JSON escapes is not searched for.
fn may_hold(line: &[u8], text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && !b"\"\\".contains(&byte));
    !is_plain || memchr::memmem::find(line, text.as_bytes()).is_some()
}

/// A JSON Pointer as a path: keys joined by dots, places in lists as `*`.
fn as_path(pointer: &str) -> String {
    let is_place = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    let keys = pointer.split('/').skip(1).map(|key| match is_place(key) {
        true => "*".to_owned(),
        false => key.replace("~1", "/").replace("~0", "~"),
    });
    keys.collect::<Vec<_>>().join(".")
}

fn count_plain(event: &Object, subject: &str, plain: &mut Counts) {
    let mut path = String::new();
    for (key, value) in event.iter().filter(|(key, _)| !matches!(*key, "v" | "index" | "recorded")) {
        count_in(key, value, subject, &mut path, plain);
    }
}

fn count_in(key: &str, value: &Value, subject: &str, path: &mut String, plain: &mut Counts) {
    let outer = path.len();
    if outer > 0 {
        path.push('.');
    }
    path.push_str(key);
    match value {
        Value::String(text) if has_word(text, subject) => plain.add(path),
        Value::Number(number) if number.to_string() == subject => plain.add(path),
        Value::Array(elements) => {
            elements.iter().for_each(|element| count_in("*", element, subject, path, plain));
        }
        Value::Object(object) => {
            for (key, value) in object.iter() {
                if has_word(key, subject) {
                    plain.add(path);
                }
                count_in(key, value, subject, path, plain);
            }
        }
        _ => {}
    }
    path.truncate(outer);
}

/// Whether the text holds the id as a word of its own.
fn has_word(text: &str, id: &str) -> bool {
    text.match_indices(id).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + id.len()..].chars().next();
        let is_apart = |next: Option<char>| next.is_none_or(|next| !next.is_alphanumeric());
        is_apart(before) && is_apart(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_as_a_word() {
        assert!(has_word("u1", "u1") && has_word("user u1 logged in", "u1") && has_word("/users/u1", "u1"));
        assert!(!has_word("u12", "u1") && !has_word("du1", "u1") && has_word("u12 u1", "u1"));
    }

    #[test]
    fn a_pointer_becomes_a_path() {
        assert_eq!(as_path("/related/3/name"), "related.*.name");
        assert_eq!(as_path("/details/a~1b/~0"), "details.a/b.~");
    }
}
