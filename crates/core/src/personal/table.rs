//! Whose each slot is, in memory: about 64 bytes a person.

use std::collections::HashMap;

use super::key_slot::{KeySlot, SLOT_BYTES, SubjectHash};
use super::spread::Spread;

/// In the place of whose slot it is, where no key is.
pub(super) const NO_SUBJECT: SubjectHash = [0; 16];
/// The same where it was destroyed.
pub(super) const ERASED_SUBJECT: SubjectHash = [0xFF; 16];

#[derive(Default)]
pub(super) struct Table {
    /// The slot of each person who has one.
    pub(super) live: HashMap<SubjectHash, u64, Spread>,
    /// By slot, whose it is, if its key is there: a person may have several, of which the last is written with.
    pub(super) slots: Vec<SubjectHash>,
    /// People who were erased, and by which event and when.
    pub(super) erased: HashMap<SubjectHash, (u64, i64), Spread>,
    pub(super) erased_keys: u64,
    /// The first slot that was never used.
    pub(super) next: u64,
    /// How many slots are on disk.
    pub(super) room: u64,
    /// Slots that were written and not synced.
    pub(super) unsynced: Vec<(u64, [u8; SLOT_BYTES])>,
    /// Whether the last sync failed: then they must be written again.
    pub(super) has_failed: bool,
    pub(super) damaged: u64,
}

impl Table {
    /// Takes in what stands in a slot.
    pub(super) fn take(&mut self, number: u64, slot: KeySlot) {
        if slot == KeySlot::Free {
            return;
        }
        self.next = self.next.max(number + 1);
        if self.slots.len() < self.next as usize {
            self.slots.resize(self.next as usize, NO_SUBJECT);
        }
        match slot {
            KeySlot::Used(used) => {
                self.slots[number as usize] = used.subject;
                self.live.insert(used.subject, number);
            }
            KeySlot::Erased { subject, by, at } => {
                self.slots[number as usize] = ERASED_SUBJECT;
                self.erased_keys += 1;
                let last = self.erased.entry(subject).or_insert((by, at));
                *last = (*last).max((by, at));
            }
            KeySlot::Damaged => self.damaged += 1,
            KeySlot::Lost | KeySlot::Free => {}
        }
    }

    /// The slot has no key of anybody any more.
    pub(super) fn forget(&mut self, number: u64) {
        let Some(subject) = self.slots.get_mut(number as usize) else { return };
        if self.live.get(subject) == Some(&number) {
            self.live.remove(subject);
        }
        *subject = NO_SUBJECT;
    }
}
