//! From a line to the columns that a store searches by.
//!
//! A column need not hold all of a text, but it must be a function of it: whoever looks for a text looks for its
//! [`cleaned`] form, and then judges the line's bytes.

use std::borrow::Cow;

use trailseal_event::fields::{Fields, ResourceFields};
use trailseal_event::filter::parse_address;

/// A column keeps so many bytes of a text. Identifiers of events are no longer than this, and two such texts fit into an entry of
/// an index.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// A text as a column holds it: without NUL, which PostgreSQL has no place for, and not too long.
pub fn cleaned(text: &str) -> Cow<'_, str> {
    let cut = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    match cut.contains('\0') {
        // Of another length, so it is cut again.
        true => {
            let mut replaced = cut.replace('\0', "\u{fffd}");
            replaced.truncate(replaced.floor_char_boundary(TEXT_BYTES_MAX));
            Cow::Owned(replaced)
        }
        false => Cow::Borrowed(cut),
    }
}

/// An address as its column holds it: in one form, however it was written.
pub fn cleaned_address(text: &str) -> Cow<'_, str> {
    match parse_address(text) {
        Some(address) => Cow::Owned(address.to_string()),
        None => cleaned(text),
    }
}

/// A related resource as it is listed: its type, which may be missing, a slash, and its id or its name, or nothing for one of that
/// type.
pub fn cleaned_resource(kind: &str, id_or_name: &str) -> String {
    cleaned(&format!("{kind}/{id_or_name}")).into_owned()
}

/// What the column of related resources lists. Empty if there are none that can be looked for.
pub(crate) fn related(fields: &Fields<'_>) -> Vec<String> {
    let mut listed = Vec::new();
    for ResourceFields { kind, id, name } in &fields.related {
        let named = kind.as_deref().unwrap_or_default();
        listed.extend([id, name].into_iter().flatten().map(|text| cleaned_resource(named, text)));
        // Some look for a type alone.
        listed.extend(kind.as_deref().map(|kind| cleaned_resource(kind, "")));
    }
    listed.sort_unstable();
    listed.dedup();
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cleaned_to_what_a_column_takes() {
        assert_eq!(cleaned("naïve"), "naïve");
        assert_eq!(cleaned("a\0b\0"), "a\u{fffd}b\u{fffd}");
        let long = "é".repeat(2_000);
        assert_eq!(cleaned(&long), "é".repeat(512));
        let odd = format!("a{long}");
        assert_eq!(cleaned(&odd), format!("a{}", "é".repeat(511)));
        // Each NUL becomes three bytes.
        assert_eq!(cleaned(&"\0".repeat(2_000)), "\u{fffd}".repeat(341));
    }

    #[test]
    fn one_address_has_one_form() {
        for text in ["::ffff:192.0.2.7", "192.0.2.7"] {
            assert_eq!(cleaned_address(text), "192.0.2.7", "{text}");
        }
        assert_eq!(cleaned_address("2001:DB8::0:1"), "2001:db8::1");
        assert_eq!(cleaned_address("not an\0 address"), "not an\u{fffd} address");
    }
}
