//! Seals personal values on their way into a line, and opens them for those who may see them.

use std::sync::Arc;

use trailseal_event::complete::Stamp;
use trailseal_event::line::{self, Compared, Objects};
use trailseal_event::personal::{Personal, PersonalKeys, PersonalValues, Sealed, SubjectKey, SubjectKeys};
use trailseal_event::{Event, NoAction};

use super::ready_event::{Secrets, Sent};
use crate::notice::Notice;
use crate::personal::{KeyPlace, KeyStore};
use crate::trail::open_trail::{Inner, Trail};
use crate::trail::policy::in_force::InForce;

/// While there is no key file, values are masked.
struct NoKeys;

impl SubjectKeys for NoKeys {
    fn key_of(&self, _subject: &str) -> Option<Arc<SubjectKey>> {
        None
    }

    fn nonce(&self) -> [u8; 12] {
        [0; 12]
    }
}

/// The keys of a trail, of which one is expected at its place.
struct Expecting<'a> {
    keys: &'a KeyStore,
    subject: &'a str,
    place: KeyPlace,
}

impl SubjectKeys for Expecting<'_> {
    fn key_of(&self, subject: &str) -> Option<Arc<SubjectKey>> {
        match subject == self.subject {
            true => self.keys.key_at(self.place, subject),
            false => self.keys.key_of(subject),
        }
    }

    fn nonce(&self) -> [u8; 12] {
        self.keys.nonce()
    }
}

impl Trail {
    /// The keys of this trail's people, as of each moment: what was erased is erased at once. `None` while there are none.
    pub fn personal_keys(&self) -> Option<Arc<dyn PersonalKeys>> {
        Some(self.inner.log.personal.get()?.clone())
    }
}

impl Inner {
    /// Says ahead which key an event probably needs, as soon as it is there.
    #[inline]
    pub(super) fn expect_key(&self, personal: Option<&Personal>, event: &Event) -> Option<KeyPlace> {
        let subject = personal?.likely_subject(event)?;
        Some(self.log.personal.get()?.expect(subject))
    }

    /// Brings that key near, just before the event is written.
    #[inline]
    pub(super) fn bring_key_near(&self, place: Option<KeyPlace>) {
        if let (Some(place), Some(keys)) = (place, self.log.personal.get()) {
            keys.bring_near(place);
        }
    }

    /// Seals the personal values in the rest that was written from `start` on; `whole` says where what was sent stands there,
    /// if it does.
    #[inline(never)]
    pub(super) fn seal(
        &self,
        personal: &Personal,
        sent: Sent<'_>,
        whole: Option<Objects>,
        stamp: &mut Stamp,
        (bytes, start): (&mut Vec<u8>, usize),
    ) -> Result<(), NoAction> {
        let written = |stamp: &mut Stamp| {
            let masked = match sent.secrets {
                Secrets::Unknown => line::masked(&self.masker, sent.event),
                Secrets::None => None,
                Secrets::Masked(masked) => Some(masked.clone()),
            };
            match masked {
                Some((event, paths)) => {
                    stamp.masked = paths;
                    event
                }
                None => sent.event.clone(),
            }
        };
        let whole = whole.map(|objects| (sent.written(), objects));
        let expecting = self.expecting(personal, sent);
        let keys = expecting.as_ref().map_or(self.subject_keys(), |keys| keys);
        let sealed = personal.seal((&self.masker, keys), whole, written, stamp, (bytes, start))?;
        self.note_sealed(sealed);
        Ok(())
    }

    /// Seals the personal values that were found in the rest from `start` on.
    #[inline(never)]
    pub(super) fn seal_found(
        &self,
        personal: &Personal,
        values: PersonalValues,
        (bytes, start): (&mut Vec<u8>, usize),
        mark: &mut usize,
    ) {
        let sealed = personal.seal_found(values, (&self.masker, self.subject_keys()), (bytes, start), mark);
        self.note_sealed(sealed);
    }

    fn expecting<'a>(&'a self, personal: &Personal, sent: Sent<'a>) -> Option<Expecting<'a>> {
        let (place, keys) = (sent.key_place?, self.log.personal.get()?);
        Some(Expecting { keys, subject: personal.likely_subject(sent.event)?, place })
    }

    fn subject_keys(&self) -> &dyn SubjectKeys {
        self.log.personal.get().map_or(&NoKeys, |keys| &**keys)
    }

    fn note_sealed(&self, sealed: Sealed) {
        if sealed.not_kept > 0 {
            self.note_not_kept(sealed.not_kept);
        }
    }

    #[cold]
    fn note_not_kept(&self, values: u64) {
        let Some(keys) = self.log.personal.get() else { return };
        if let Some(reason) = keys.count_not_kept(values) {
            self.log.notice(&Notice::PersonalKeyNotKept { reason });
        }
    }

    /// By what the personal values of stored lines are compared with an event.
    pub(in crate::trail) fn compared<'a>(&'a self, policy: &'a InForce) -> Compared<'a> {
        let keys = self.log.personal.get().map(|keys| &**keys as &dyn PersonalKeys);
        Compared { rules: policy.personal.as_ref(), keys }
    }
}
