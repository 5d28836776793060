//! Seals the personal values in the rest of a line.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use super::find::{self, Found, Reach};
use super::json;
use super::key::{Place, SubjectKey, SubjectKeys};
use super::paths::Paths;
use super::placed::Placed;
use super::rule::PersonalRule;
use super::token;
use crate::complete::Stamp;
use crate::event::{Event, NoAction};
use crate::line::{self, Objects, REST_BYTES_MAX};
use crate::mask::Masker;

/// What stands in place of a value whose key could not be kept.
const NOT_KEPT: &[u8] = b"\"***\"";

/// The rules for personal values, ready for use.
pub struct Personal {
    paths: Paths,
    placed: Option<Placed>,
    reach: Reach,
    /// Whether a rule says that the values are the actor's.
    is_of_actor: bool,
}

/// What was sealed in one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// How many values.
    pub values: u64,
    /// How many were masked instead, because no key could be kept for them.
    pub not_kept: u64,
}

/// The personal values in one text.
pub struct PersonalValues {
    found: Found,
    /// How long the text is at most when they are sealed.
    pub len_max: usize,
}

#[derive(Default)]
struct Buffers {
    found: Found,
    out: Vec<u8>,
    sealed: Vec<u8>,
    additional: Vec<u8>,
}

thread_local! {
    static BUFFERS: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

impl Personal {
    /// The rules of a policy; `None` if there is none.
    pub fn new(rules: &[PersonalRule]) -> Option<Personal> {
        let paths = Paths::new(rules);
        let placed = Placed::new(&paths);
        let reach = paths.reach();
        let is_of_actor = paths.fields.iter().any(|field| field.subject.parts == ["actor", "id"]);
        (!paths.fields.is_empty()).then_some(Personal { paths, placed, reach, is_of_actor })
    }

    /// Whether a value at this path, such as `actor.id`, is personal.
    pub fn names(&self, path: &str) -> bool {
        let end = path.split('.').try_fold(self.paths.begin(), |at, key| {
            let at = self.paths.step(at, key);
            if self.paths.named(at).is_some() { Err(()) } else { Ok(at) }
        });
        end.is_err()
    }

    /// The fields of all rules, each with the rule's number.
    pub fn fields(&self) -> impl Iterator<Item = (String, usize)> {
        self.paths.fields.iter().map(|field| (field.parts.join("."), field.rule))
    }

    /// The person whose values an event probably has, before it is written.
    pub fn likely_subject<'a>(&self, event: &'a Event) -> Option<&'a str> {
        event.actor.as_ref().filter(|_| self.is_of_actor)?.id.as_deref()
    }

    fn find(&self, text: &[u8], found: &mut Found) -> bool {
        find::find(&self.paths, self.reach, text, found)
    }

    /// The personal values in the rest of a line. `None` if this is not one; then nothing may be written.
    pub fn find_in(&self, rest: &[u8]) -> Option<PersonalValues> {
        let mut found = with_buffers(|buffers| std::mem::take(&mut buffers.found));
        self.find(rest, &mut found).then(|| PersonalValues { len_max: found.len_max(rest.len()), found })
    }

    /// Seals the personal values of an event whose rest, secrets masked, stands in `bytes` from `start` on. If it becomes
    /// too long, the event is written again, and more of it cut. `written` is the event with its secrets masked; `whole` is
    /// the event that stands there whole, if one does, and where its objects are.
    ///
    /// # Errors
    /// [`NoAction`] if the action is empty; then nothing is left of it.
    pub fn seal(
        &self,
        (masker, keys): (&Masker, &dyn SubjectKeys),
        whole: Option<(&Event, Objects)>,
        written: impl FnOnce(&mut Stamp) -> Event,
        stamp: &mut Stamp,
        (bytes, start): (&mut Vec<u8>, usize),
    ) -> Result<Sealed, NoAction> {
        with_buffers(|buffers| {
            let (rest, found) = (&bytes[start..], &mut buffers.found);
            let is_found =
                self.placed.as_ref().zip(whole).is_some_and(|(placed, whole)| {
                    find::find_placed((&self.paths, placed), whole, rest, found)
                });
            let fits = (is_found || self.find(rest, found)) && found.len_max(rest.len()) <= REST_BYTES_MAX;
            if !fits {
                bytes.truncate(start);
                let event = written(stamp);
                self.write_shorter(&event, stamp, bytes, buffers)?;
            }
            Ok(self.write((masker, keys), (bytes, start), &mut 0, buffers))
        })
    }

    /// Seals the personal values that were found in `bytes` from `start` on, and that fit. `mark` is a place in the rest,
    /// which moves with the bytes before it.
    pub fn seal_found(
        &self,
        values: PersonalValues,
        (masker, keys): (&Masker, &dyn SubjectKeys),
        (bytes, start): (&mut Vec<u8>, usize),
        mark: &mut usize,
    ) -> Sealed {
        with_buffers(|buffers| {
            buffers.found = values.found;
            self.write((masker, keys), (bytes, start), mark, buffers)
        })
    }

    /// Appends the rest of an event, so short that its personal values would fit when they are sealed.
    pub(crate) fn write_unsealed(
        &self,
        event: &Event,
        stamp: &Stamp,
        bytes: &mut Vec<u8>,
    ) -> Result<(), NoAction> {
        let start = bytes.len();
        line::write_rest(event, stamp, bytes)?;
        let mut found = Found::default();
        let rest = &bytes[start..];
        if self.find(rest, &mut found) && found.len_max(rest.len()) <= REST_BYTES_MAX {
            return Ok(());
        }
        bytes.truncate(start);
        self.write_shorter(event, stamp, bytes, &mut Buffers::default())
    }

    /// Writes the rest of an event so short that its personal values fit when they are sealed.
    #[cold]
    fn write_shorter(
        &self,
        event: &Event,
        stamp: &Stamp,
        bytes: &mut Vec<u8>,
        buffers: &mut Buffers,
    ) -> Result<(), NoAction> {
        let start = bytes.len();
        line::write_rest_measured(event, stamp, bytes, |rest| {
            let mut found = Found::default();
            // A text that cannot be looked through never fits.
            if self.find(rest, &mut found) { found.len_max(rest.len()) } else { usize::MAX / 2 }
        })?;
        let fits = self.find(&bytes[start..], &mut buffers.found)
            && buffers.found.len_max(bytes.len() - start) <= REST_BYTES_MAX;
        if !fits {
            // What no event reaches: only what says that it happened.
            bytes.truncate(start);
            let bare = Event {
                category: event.category.clone(),
                severity: event.severity,
                outcome: event.outcome,
                tenant: event.tenant.clone(),
                time: event.time,
                ..Event::new(event.action.as_str())
            };
            line::write_rest(&bare, stamp, bytes)?;
            self.find(&bytes[start..], &mut buffers.found);
        }
        Ok(())
    }

    fn write(
        &self,
        (masker, keys): (&Masker, &dyn SubjectKeys),
        (bytes, start): (&mut Vec<u8>, usize),
        mark: &mut usize,
        buffers: &mut Buffers,
    ) -> Sealed {
        let Buffers { found, out, sealed, additional } = buffers;
        let mut done = Sealed::default();
        let Some(first) = found.values.first() else { return done };
        let rest = &bytes[start..];
        let (begin, mut copied, mut moved) = (first.from, first.from, *mark as isize);
        out.clear();
        additional.clear();
        let of_event = Place::begin(&string(rest, &found.id), &string(rest, &found.tenant), additional);
        let mut last: Option<(usize, Option<Arc<SubjectKey>>)> = None;
        for value in &found.values {
            let Some(field) = self.paths.fields.get(value.field) else { continue };
            let plain = &rest[value.from..value.to];
            out.extend_from_slice(&rest[copied..value.from]);
            copied = value.to;
            let before = out.len();
            let text = plain.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
            if text.is_some_and(|text| masker.is_replaced(text)) {
                out.extend_from_slice(plain);
                continue;
            }
            // Mostly all values are of one person.
            let is_same = |(rule, _): &(usize, _)| *rule == field.rule && !field.subject.has_wildcard;
            if !last.as_ref().is_some_and(is_same) {
                last = Some((field.rule, keys.key_of(&found.subject(field, value, rest))));
            }
            let key = last.as_ref().and_then(|(_, key)| key.as_deref());
            sealed.clear();
            additional.truncate(of_event);
            additional.extend_from_slice(found.pointers[value.pointer.clone()].as_bytes());
            let key = key.filter(|key| key.seal(keys.nonce(), additional, plain, sealed).is_some());
            match key {
                Some(key) => {
                    let text = field.is_searchable.then(|| searched_for(text, plain)).flatten();
                    out.push(b'"');
                    token::write(key.label(), sealed, text.as_deref().map(|text| (masker, text)), out);
                    out.push(b'"');
                    done.values += 1;
                }
                None if cfg!(trailseal_fault = "personal_plain_without_key") => out.extend_from_slice(plain),
                None => {
                    out.extend_from_slice(NOT_KEPT);
                    done.not_kept += 1;
                }
            }
            if value.to <= *mark {
                moved += (out.len() - before) as isize - plain.len() as isize;
            }
        }
        out.extend_from_slice(&rest[copied..]);
        *mark = moved.unsigned_abs();
        bytes.truncate(start + begin);
        bytes.extend_from_slice(out);
        done
    }
}

impl std::fmt::Debug for Personal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Personal({} fields)", self.paths.fields.len())
    }
}

fn with_buffers<T>(work: impl FnOnce(&mut Buffers) -> T) -> T {
    // A thread that is ending has none, and keeps none.
    let mut buffers = BUFFERS.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let done = work(&mut buffers);
    let _ = BUFFERS.try_with(|kept| kept.set(Some(buffers)));
    done
}

/// The text of the string that stands there with its quotes, if one does.
fn string<'a>(text: &'a [u8], range: &Range<usize>) -> Cow<'a, [u8]> {
    let inside = text.get(range.start + 1..range.end.saturating_sub(1)).unwrap_or_default();
    match memchr::memchr(b'\\', inside) {
        Some(_) => Cow::Owned(json::unescaped(inside).into_owned().into_bytes()),
        None => Cow::Borrowed(inside),
    }
}

/// By what a value is searched for, if this stands between its quotes; a list or object by nothing.
fn searched_for<'a>(text: Option<&'a [u8]>, plain: &'a [u8]) -> Option<Cow<'a, str>> {
    match text {
        Some(text) => Some(json::unescaped(text)),
        None if matches!(plain.first(), Some(b'{' | b'[')) => None,
        None => std::str::from_utf8(plain).ok().map(Cow::Borrowed),
    }
}
