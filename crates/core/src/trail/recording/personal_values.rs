//! Seals personal values on their way into a line, and opens them for those who may see them.

use std::sync::Arc;

use trailseal_event::complete::Stamp;
use trailseal_event::line::{self, Compared};
use trailseal_event::personal::{Personal, PersonalKeys, PersonalValues, Sealed, SubjectKey, SubjectKeys};
use trailseal_event::{Event, NoAction};

use super::ready_event::{Secrets, Sent};
use crate::notice::Notice;
use crate::personal::KeyStore;
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

impl Trail {
    /// The keys of this trail's people, as of each moment: what was erased is erased at once. `None` while there are none.
    pub fn personal_keys(&self) -> Option<Arc<dyn PersonalKeys>> {
        Some(self.inner.log.personal.get()?.clone())
    }
}

impl Inner {
    /// Says ahead which key an event probably needs, as soon as it is there.
    #[inline]
    pub(super) fn expect_key(&self, policy: &InForce, event: &Event) {
        if let Some((keys, subject)) = self.likely_key(policy.personal.as_ref(), event) {
            keys.expect(subject);
        }
    }

    /// Brings that key near, just before the event is written.
    #[inline]
    pub(super) fn bring_key_near(&self, personal: Option<&Personal>, event: &Event) {
        if let Some((keys, subject)) = self.likely_key(personal, event) {
            keys.bring_near(subject);
        }
    }

    #[inline]
    fn likely_key<'a>(
        &'a self,
        personal: Option<&Personal>,
        event: &'a Event,
    ) -> Option<(&'a KeyStore, &'a str)> {
        let subject = personal?.likely_subject(event)?;
        Some((self.log.personal.get()?, subject))
    }

    /// Seals the personal values in the rest that was written from `start` on.
    #[inline(never)]
    pub(super) fn seal(
        &self,
        personal: &Personal,
        sent: Sent<'_>,
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
        let sealed = personal.seal((&self.masker, self.subject_keys()), written, stamp, (bytes, start))?;
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
