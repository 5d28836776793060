//! From a line's bytes to the fields that stores search by.
//!
//! In: a line. Out: [`Fields`], or nothing for an unreadable line. What must hold: the fields are those that
//! `Event::from_line` gives, for any bytes, with keyed hashes in place of personal values. Lines as the trail writes them
//! are walked without building a tree of values; anything that the walk does not expect is left to `Event::from_line`.

mod scan;
mod searchable;
mod walk;

#[cfg(test)]
mod tests;

use crate::event::Event;

pub use searchable::{Fields, ResourceFields};

impl<'a> Fields<'a> {
    /// The fields of a line; `None` if it cannot be read.
    pub fn of_line(line: &'a [u8]) -> Option<Self> {
        let fields = walk::fields(line).or_else(|| Event::from_line(line).ok().map(Fields::of_recorded));
        fields.map(Fields::searchable)
    }
}
