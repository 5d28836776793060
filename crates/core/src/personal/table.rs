//! Whose each slot is, in memory: about 64 bytes a person.

use std::collections::HashMap;
use std::io;

use super::key_slot::{KeySlot, SLOT_BYTES, SubjectHash, slot_offset};
use super::spread::Spread;

/// In the place of whose slot it is, where no key is.
pub(super) const NO_SUBJECT: SubjectHash = [0; 16];
/// The same where it was destroyed.
pub(super) const ERASED_SUBJECT: SubjectHash = [0xFF; 16];

/// One read while a table is loaded.
const READ_SLOTS: usize = 8_192;

/// What is to be destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToErase {
    pub(crate) slot: u64,
    pub(crate) subject: SubjectHash,
}

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
    /// Reads all slots of a key file of this length.
    pub(super) fn read(len: u64, read_at: impl Fn(u64, &mut [u8]) -> io::Result<usize>) -> io::Result<Table> {
        // Only whole slots count.
        let room = len.saturating_sub(slot_offset(0)) / SLOT_BYTES as u64;
        let mut table = Table { room, ..Table::default() };
        let mut bytes = vec![0; READ_SLOTS * SLOT_BYTES];
        let mut number = 0;
        while number < table.room {
            let count = read_at(slot_offset(number), &mut bytes)?;
            let (slots, _) = bytes[..count].as_chunks::<SLOT_BYTES>();
            if slots.is_empty() {
                break;
            }
            for slot in slots {
                table.take(number, KeySlot::parse(slot, number));
                number += 1;
            }
        }
        table.room = number;
        Ok(table)
    }

    /// The keys of a person known by any of these hashes, and the event that destroyed earlier ones.
    pub(super) fn keys_of(&self, hashes: &[SubjectHash]) -> (Vec<ToErase>, Option<(u64, i64)>) {
        let slots = self.slots.iter().zip(0..).filter(|(subject, _)| hashes.contains(subject));
        let erased = hashes.iter().filter_map(|hash| self.erased.get(hash)).max().copied();
        (slots.map(|(subject, slot)| ToErase { slot, subject: *subject }).collect(), erased)
    }

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
