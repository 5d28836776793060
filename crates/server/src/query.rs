//! The query of a URL: names and values, each name known, each value where it belongs.

use std::borrow::Cow;

use axum::http::Uri;
use trailseal_core::clock::Timestamp;
use trailseal_core::filter::Filter;
use trailseal_index::{By, Cursor, First, Order};

use crate::access::Caller;
use crate::problem::Problem;

/// Events on a page unless told otherwise, and at most.
pub(crate) const LIMIT: usize = 50;
pub(crate) const LIMIT_MAX: usize = 1_000;

/// Values of all parameters together. Each filter's value is compared with each event.
const VALUES_MAX: usize = 200;

/// Names and values, in their order.
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn of(uri: &Uri) -> Result<Query, Problem> {
        let text = uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        if pairs.len() > VALUES_MAX {
            return Err(Problem::bad_request(
                "query",
                format!("more than {VALUES_MAX} values: ask for less at once"),
            ));
        }
        match pairs.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}')) {
            true => Err(Problem::bad_request("query", "the query is not UTF-8")),
            false => Ok(Query { pairs }),
        }
    }

    /// The value of a name that stands at most once.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values =
            self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => {
                Err(Problem::bad_request("query", format!("{name} is given twice")).with("field", name))
            }
        }
    }

    /// Refuses names that mean nothing here: a filter with a typing error would show too much.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), Problem> {
        match self.pairs.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let detail = format!("there is no parameter {name:?} here: use one of {}", names.join(", "));
                Err(Problem::bad_request("query", detail).with("field", name.as_str()))
            }
        }
    }

    /// The filter that it asks for, narrowed to what the caller may see. Other names are those of `also`.
    pub(crate) fn filter(&self, caller: &Caller, now: Timestamp, also: &[&str]) -> Result<Filter, Problem> {
        let mut filter = Filter::default();
        for (name, value) in &self.pairs {
            if also.contains(&name.as_str()) {
                continue;
            }
            filter.set(name, value, now).map_err(|error| {
                Problem::bad_request("query", error.to_string()).with("field", name.as_str())
            })?;
        }
        caller.restrict(&mut filter)?;
        Ok(filter)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => {
                Err(Problem::bad_request("query", format!("{name} is true or false")).with("field", name))
            }
        }
    }

    pub(crate) fn limit(&self) -> Result<Option<usize>, Problem> {
        let Some(text) = self.one("limit")? else { return Ok(None) };
        match text.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(Some(limit)),
            _ => Err(Problem::bad_request("query", format!("limit is a number from 1 to {LIMIT_MAX}"))
                .with("field", "limit")),
        }
    }

    /// The order asked for, beginning at this end if nothing is said of it.
    pub(crate) fn order(&self, usual: First) -> Result<Order, Problem> {
        let wrong = |name: &str, detail: &str| Err(Problem::bad_request("query", detail).with("field", name));
        let first = match self.one("order")? {
            None => usual,
            Some("desc") => First::Newest,
            Some("asc") => First::Oldest,
            Some(_) => return wrong("order", "order is asc or desc"),
        };
        match self.one("order_by")? {
            None | Some("time") => Ok(Order { by: By::Time, first }),
            Some("recorded") => Ok(Order { by: By::Recorded, first }),
            Some(_) => wrong("order_by", "order_by is time or recorded"),
        }
    }

    /// Where to go on, in the order asked for.
    pub(crate) fn cursor(&self, order: Order) -> Result<Option<Cursor>, Problem> {
        let Some(text) = self.one("cursor")? else { return Ok(None) };
        let wrong = |detail: &str| Problem::bad_request("query", detail).with("field", "cursor");
        let cursor: Cursor = text.parse().map_err(|_| wrong("cursor is none that this server gave out"))?;
        if cursor.order() == order {
            return Ok(Some(cursor));
        }
        let Order { by, first } = cursor.order();
        let by = if by == By::Time { "time" } else { "recorded" };
        let first = if first == First::Oldest { "asc" } else { "desc" };
        Err(wrong(&format!(
            "cursor is of a query in another order: it goes with order={first} and order_by={by}"
        )))
    }

    /// What was asked, for the record of it, with each value as `shown` gives it.
    pub(crate) fn text<'a>(&'a self, shown: impl Fn(&str, &'a str) -> Cow<'a, str>) -> Option<String> {
        let pair = |(name, value): &'a (String, String)| format!("{name}={}", shown(name, value));
        let pairs: Vec<String> = self.pairs.iter().map(pair).collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }
}
