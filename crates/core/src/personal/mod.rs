//! The keys of people, in a file of their own.
//!
//! What must hold: a durable line's key is durable, or the value in it was never confirmed; a slot is used for one person
//! once, and never again; and a key that was destroyed comes back with no opening, also if an older file is put back.
//!
//! A person's first event takes a slot: key and keyed hash of the person's id are written together, which costs a write
//! into the system's cache, and no wait. The writer syncs the file before the segment. Room for slots is made ahead, and
//! synced, so that this is mostly an overwrite of blocks that are there; if callers use it up, they write beyond it.

mod cache;
mod key_file_in_place;
mod key_slot;
mod key_store;
mod keys_read;
mod list;
mod master_key;
mod open;
mod prefetch;
mod reader;
mod spread;
mod table;

pub(crate) use cache::KeyPlace;
pub(crate) use key_file_in_place::Mended;
pub use key_slot::{KeyFileHeader, KeySlot};
pub(crate) use key_store::KeyStore;
pub use key_store::PersonalStats;
pub(crate) use keys_read::KeysRead;
pub(crate) use list::{ErasedEvent, ErasedList, Erasing, details, may_be_erased, read_erased};
pub use master_key::{MasterKey, PersonalKeysOptions};
pub(crate) use open::{KeysFound, SaidKeys, open_or_make};
pub use open::{PersonalKeysError, key_file};
pub use reader::open_personal_keys;
pub(crate) use table::ToErase;
