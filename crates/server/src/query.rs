//! The query of a URL: names and values; each name is known, and each value is where it belongs.

use std::borrow::Cow;

use axum::http::Uri;
use trailseal_event::Timestamp;
use trailseal_event::filter::Filter;
use trailseal_index::{By, First, Order};

use crate::access::Caller;
use crate::problem::{Kind, Problem};
use crate::view::{Cursor, View};

/// The parameter that has a part of a value. It is what somebody is still typing, perhaps of a person's name, and is not
/// recorded.
pub(crate) const PART: &str = "part";

/// Events per page, by default and at most.
pub(crate) const LIMIT: usize = 50;
pub(crate) const LIMIT_MAX: usize = 1_000;

/// The maximum number of values of all parameters together. Each filter value is compared with each event.
const VALUES_MAX: usize = 200;

/// The filters that have one value. Given twice, one of the two would silently not count.
pub(crate) const ONCE: [&str; 5] = ["since", "until", "recorded_since", "recorded_until", "system"];

/// How much of a query is recorded: about this many bytes of a longer one, and of each value at least this many.
const NOTED_BYTES_MAX: usize = 2_048;
const VALUE_BYTES_KEPT: usize = 16;

/// The filters that are times.
const TIMES: [&str; 4] = ["since", "until", "recorded_since", "recorded_until"];

/// Names and values, in order.
#[derive(Clone)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn of(uri: &Uri) -> Result<Query, Problem> {
        let text = uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        if pairs.len() > VALUES_MAX {
            return Err(Problem::new(
                Kind::Query,
                format!("more than {VALUES_MAX} values: ask for less at once"),
            ));
        }
        match pairs.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}')) {
            true => Err(Problem::new(Kind::Query, "the query is not UTF-8")),
            false => Ok(Query { pairs }),
        }
    }

    /// The value of a name that may occur only once.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values =
            self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => Err(Problem::new(Kind::Query, format!("{name} is given twice")).with("field", name)),
        }
    }

    /// Refuses unknown names: a mistyped filter would show too much. The router asks this for every route.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), Problem> {
        match self.pairs.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let known = match names {
                    [] => "leave it out, there are none".to_owned(),
                    names => format!("use one of {}", names.join(", ")),
                };
                let detail = format!("there is no parameter {name:?} here: {known}");
                Err(Problem::new(Kind::Query, detail).with("field", name.as_str()))
            }
        }
    }

    /// The requested filter, narrowed to what the caller may see. Other names are those of `also`.
    pub(crate) fn filter(&self, caller: &Caller, now: Timestamp, also: &[&str]) -> Result<Filter, Problem> {
        for name in ONCE {
            self.one(name)?;
        }
        let mut filter = Filter::default();
        for (name, value) in &self.pairs {
            if also.contains(&name.as_str()) {
                continue;
            }
            let value = if TIMES.contains(&name.as_str()) { with_offset(value) } else { value.into() };
            filter
                .set(name, &value, now)
                .map_err(|error| Problem::new(Kind::Query, error.to_string()).with("field", name.as_str()))?;
        }
        caller.restrict(&mut filter)?;
        Ok(filter)
    }

    /// The values of these names, each as `shown` returns it.
    pub(crate) fn told<'a>(
        &'a self,
        names: &[&str],
        shown: impl Fn(&str, &'a str) -> Cow<'a, str>,
    ) -> Vec<(String, String)> {
        let pairs = self.pairs.iter().filter(|(name, _)| names.contains(&name.as_str()));
        pairs.map(|(name, value)| (name.clone(), shown(name, value).into_owned())).collect()
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => {
                Err(Problem::new(Kind::Query, format!("{name} must be true or false")).with("field", name))
            }
        }
    }

    pub(crate) fn limit(&self) -> Result<Option<usize>, Problem> {
        let Some(text) = self.one("limit")? else { return Ok(None) };
        match text.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(Some(limit)),
            _ => Err(Problem::new(Kind::Query, format!("limit must be a number from 1 to {LIMIT_MAX}"))
                .with("field", "limit")),
        }
    }

    /// The requested order, beginning at this end by default.
    pub(crate) fn order(&self, usual: First) -> Result<Order, Problem> {
        let wrong = |name: &str, detail: &str| Err(Problem::new(Kind::Query, detail).with("field", name));
        let first = match self.one("order")? {
            None => usual,
            Some("desc") => First::Newest,
            Some("asc") => First::Oldest,
            Some(_) => return wrong("order", "order must be asc or desc"),
        };
        match self.one("order_by")? {
            None | Some("time") => Ok(Order { by: By::Time, first }),
            Some("recorded") => Ok(Order { by: By::Recorded, first }),
            Some(_) => wrong("order_by", "order_by must be time or recorded"),
        }
    }

    /// Where to continue, in the requested order.
    pub(crate) fn cursor(&self, order: Order, view: &View) -> Result<Option<Cursor>, Problem> {
        let Some(text) = self.one("cursor")? else { return Ok(None) };
        let cursor = view.cursor(text).ok_or_else(foreign_cursor)?;
        if cursor.order() == order {
            return Ok(Some(cursor));
        }
        let Order { by, first } = cursor.order();
        let by = if by == By::Time { "time" } else { "recorded" };
        let first = if first == First::Oldest { "asc" } else { "desc" };
        let detail = format!(
            "cursor belongs to a query in another order: use it with order={first} and order_by={by}"
        );
        Err(Problem::new(Kind::Query, detail).with("field", "cursor"))
    }

    /// The query as recorded, with each value as `shown` returns it, and its whole length if it was cut. Then each
    /// value keeps its beginning, so that none can be hidden behind others.
    pub(crate) fn text<'a>(
        &'a self,
        shown: impl Fn(&str, &'a str) -> Cow<'a, str>,
    ) -> Option<(String, Option<usize>)> {
        if self.pairs.is_empty() {
            return None;
        }
        let pairs: Vec<(&str, Cow<'a, str>)> =
            self.pairs.iter().map(|(name, value)| (name.as_str(), noted(name, value, &shown))).collect();
        let length = pairs.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>() - 1;
        let is_whole = length <= NOTED_BYTES_MAX || cfg!(trailseal_fault = "query_noted_whole");
        let each = if is_whole { usize::MAX } else { NOTED_BYTES_MAX / self.pairs.len() };
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| shortened(name, value, each)).collect();
        Some((pairs.join("&"), (!is_whole).then_some(length)))
    }
}

/// A text that is no cursor, or one of other trails.
pub(crate) fn foreign_cursor() -> Problem {
    Problem::new(Kind::Query, "cursor is not one of this server's cursors").with("field", "cursor")
}

/// A value as it is recorded.
fn noted<'a>(name: &str, value: &'a str, shown: &impl Fn(&str, &'a str) -> Cow<'a, str>) -> Cow<'a, str> {
    if name == PART && !cfg!(trailseal_fault = "part_noted") {
        Cow::Borrowed("…")
    } else {
        shown(name, value)
    }
}

/// A pair in about `most` bytes.
fn shortened(name: &str, value: &str, most: usize) -> String {
    let name = cut(name, most);
    let kept = cut(value, most.saturating_sub(name.len() + 2).max(VALUE_BYTES_KEPT));
    let mark = if kept.len() < value.len() { "…" } else { "" };
    format!("{name}={kept}{mark}")
}

/// The beginning of a text, of at most this many bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// A time with its offset: in an address, a `+` that is not encoded is a blank, as in `2026-11-28T00:00+01:00`.
fn with_offset(time: &str) -> Cow<'_, str> {
    let Some((moment, offset)) = time.rsplit_once(' ') else { return time.into() };
    let is_offset = matches!(offset.as_bytes(), [a, b, b':', c, d] if [a, b, c, d].iter().all(|digit| digit.is_ascii_digit()));
    // Without a clock before it, this is the clock.
    match is_offset && moment.contains(':') {
        true => format!("{moment}+{offset}").into(),
        false => time.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn noted(query: &str) -> (String, Option<usize>) {
        Query::of(&format!("/v1/events?{query}").parse().unwrap())
            .unwrap()
            .text(|_, value| value.into())
            .unwrap()
    }

    #[test]
    fn a_plus_that_is_not_encoded_is_the_sign_of_an_offset() {
        for (given, meant) in [
            ("2026-11-28T00:00 01:00", "2026-11-28T00:00+01:00"),
            ("2026-11-28 00:00:09.5 01:00", "2026-11-28 00:00:09.5+01:00"),
            ("2026-11-28 00:00", "2026-11-28 00:00"),
            ("last week", "last week"),
            ("12:00 noon", "12:00 noon"),
            ("", ""),
        ] {
            assert_eq!(with_offset(given), meant);
        }
    }

    #[test]
    fn a_long_query_is_noted_in_part_and_hides_nothing() {
        assert_eq!(noted("actor=u1&limit=5"), ("actor=u1&limit=5".into(), None));
        assert_eq!(noted("field=actor&part=chen"), ("field=actor&part=…".into(), None));
        let long = "x".repeat(59_000);
        let (text, length) = noted(&format!("action={long}&actor=victim"));
        assert_eq!(length, Some(59_000 + "action=&actor=victim".len()));
        assert!(text.len() <= NOTED_BYTES_MAX + 200 && text.ends_with("…&actor=victim"), "{text}");
        let many = vec![
            "action=%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4";
            199
        ]
        .join("&");
        let (text, _) = noted(&format!("{many}&actor=victim"));
        assert!(
            text.len() <= 2 * NOTED_BYTES_MAX + 7 * VALUES_MAX && text.ends_with("&actor=victim"),
            "{text}"
        );
    }
}
