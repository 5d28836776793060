//! Which of several types a client prefers (RFC 9110, section 12.5.1).
//!
//! In: `Accept` headers. Out: the place of a type among those that there are. Names of types are the same in upper and
//! lower case, the most specific range that a type is in says how much it is preferred, and zero means not at all.

use std::cmp::Reverse;

use axum::http::HeaderValue;

/// A range of types, such as `text/csv;q=0.5` or `text/*`.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// How much it is preferred, in thousandths.
    quality: u16,
}

/// The place of the type that is preferred: of several that are preferred alike, the one that is named first, and then the
/// one that comes first in `types`. `None` if none is acceptable.
pub(super) fn preferred<'a>(
    accept: impl IntoIterator<Item = &'a HeaderValue>,
    types: &[&str],
) -> Option<usize> {
    let headers = accept.into_iter().filter_map(|header| header.to_str().ok());
    // What cannot be read is left out: it says nothing.
    let ranges: Vec<Range<'_>> = headers.flat_map(|header| header.split(',')).filter_map(parse).collect();
    let standing = |name: &&str| {
        let of_type =
            ranges.iter().enumerate().filter_map(|(at, range)| Some((range.covers(name)?, at, range)));
        // Of two equally specific ones the first counts.
        let (_, at, range) = of_type.max_by_key(|(specific, at, _)| (*specific, Reverse(*at)))?;
        (range.quality > 0).then_some((range.quality, Reverse(at)))
    };
    let standings =
        types.iter().enumerate().filter_map(|(place, name)| Some((standing(name)?, Reverse(place))));
    standings.max().map(|(_, Reverse(place))| place)
}

impl Range<'_> {
    /// How specific it is for a type; `None` if that is not in it.
    fn covers(&self, name: &str) -> Option<u8> {
        let (kind, subtype) = name.split_once('/')?;
        let is_kind = self.kind.eq_ignore_ascii_case(kind);
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (_, "*") => is_kind.then_some(1),
            (_, own) => (is_kind && own.eq_ignore_ascii_case(subtype)).then_some(2),
        }
    }
}

fn parse(text: &str) -> Option<Range<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let mut quality = 1_000;
    for parameter in parts {
        // Other parameters distinguish nothing that there is here.
        if let Some((name, value)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            let value: f32 = value.trim().parse().ok()?;
            if !(0.0..=1.0).contains(&value) {
                return None;
            }
            quality = (value * 1_000.0).round() as u16;
            break;
        }
    }
    Some(Range { kind, subtype, quality })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TYPES: [&str; 4] = ["application/json", "text/csv", "application/zip", "text/plain"];

    fn check(accept: &str, expected: Option<&str>) {
        let headers: Vec<HeaderValue> = accept.split('|').map(|text| text.parse().unwrap()).collect();
        assert_eq!(preferred(&headers, &TYPES).map(|place| TYPES[place]), expected, "{accept}");
    }

    #[test]
    fn the_most_preferred_type_counts() {
        check("text/csv", Some("text/csv"));
        check("TEXT/Csv; header=present", Some("text/csv"));
        check("text/csv, application/json", Some("text/csv"));
        check("application/json, text/csv", Some("application/json"));
        check("text/csv;q=0.1, application/json", Some("application/json"));
        check("text/csv ; Q=0.4 , application/zip;q=0.5", Some("application/zip"));
        check("application/json;q=0.5|text/csv", Some("text/csv"));
        check("text/csv;q=0.001, application/json;q=0", Some("text/csv"));
    }

    #[test]
    fn a_range_is_what_no_more_specific_one_says_otherwise() {
        check("*/*", Some("application/json"));
        check("text/html, application/xml;q=0.9, */*;q=0.8", Some("application/json"));
        check("text/csv, */*", Some("text/csv"));
        check("text/*", Some("text/csv"));
        check("text/*, text/csv;q=0", Some("text/plain"));
        check("*/*;q=0.5, application/json;q=0.1", Some("text/csv"));
        check("*/*, application/json;q=0", Some("text/csv"));
    }

    #[test]
    fn what_is_not_accepted_or_makes_no_sense_is_nothing() {
        for accept in [
            "text/csv;q=0",
            "text/csv;q=0.000",
            "*/*;q=0",
            "image/png",
            "",
            "text",
            "text/csv;q=x",
            "text/csv;q=2",
            "*/csv",
        ] {
            check(accept, None);
        }
    }
}
