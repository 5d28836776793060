//! The id of a review: a UUID made by the trail, in 16 bytes.

use std::fmt;

use serde::{Serialize, Serializer};

/// Ids grow with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReviewId([u8; 16]);

impl ReviewId {
    /// Parses an id; `None` if no trail writes it like that.
    pub(crate) fn parse(text: &str) -> Option<ReviewId> {
        let bits = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
        let id = ReviewId(bits.to_be_bytes());
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for ReviewId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for ReviewId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_trail_writes_and_nothing_else() {
        let text = "019a01f2-7c00-7abc-8def-0123456789ab";
        assert_eq!(ReviewId::parse(text).map(|id| id.to_string()).as_deref(), Some(text));
        for text in
            ["", "r", "019A01F2-7C00-7ABC-8DEF-0123456789AB", "019a01f27c007abc8def0123456789ab", "+1"]
        {
            assert_eq!(ReviewId::parse(text), None, "{text}");
        }
    }
}
