//! A summary: how many events there are of each kind, and when.

use std::time::Duration;

use trailseal_core::clock::Timestamp;
use trailseal_core::event::{Object, Value};
use trailseal_core::filter::Filter;

use crate::{FacetField, Search, SearchError};

/// The fields that are counted, by the names that users know.
const FIELDS: [(&str, FacetField); 7] = [
    ("action", FacetField::Action),
    ("actor", FacetField::Actor),
    ("category", FacetField::Category),
    ("outcome", FacetField::Outcome),
    ("severity", FacetField::Severity),
    ("tenant", FacetField::Tenant),
    ("resource_type", FacetField::ResourceType),
];

/// Spans that people think in, from a second to a year.
const SPANS: [u64; 13] =
    [1, 10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 604_800, 2_592_000, 7_776_000, 31_536_000];
/// How many bars a histogram has at most, if nobody says how long a bar is.
const BARS_MAX: usize = 48;

/// How many events there are of each kind, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// All that match.
    pub total: u64,
    /// For each field its most frequent values with their counts.
    pub facets: Vec<(&'static str, Vec<(String, u64)>)>,
    /// How long a bar of the histogram is.
    pub bucket: Duration,
    /// When each bar begins, and how many events it has; bars without any are left out.
    pub histogram: Vec<(Timestamp, u64)>,
}

impl Summary {
    /// As one JSON object, the same for every interface.
    pub fn to_json(&self) -> Value {
        let mut answer = Object::default();
        answer.insert("total", self.total);
        for (name, values) in &self.facets {
            let one = |(value, count): &(String, u64)| {
                let mut one = Object::default();
                one.insert("value", value.as_str());
                one.insert("count", *count);
                Value::from(one)
            };
            answer.insert(format!("by_{name}"), Value::Array(values.iter().map(one).collect()));
        }
        answer.insert("bucket_seconds", self.bucket.as_secs());
        let bar = |(start, count): &(Timestamp, u64)| {
            let mut bar = Object::default();
            bar.insert("start", start.to_string());
            bar.insert("count", *count);
            Value::from(bar)
        };
        answer.insert("histogram", Value::Array(self.histogram.iter().map(bar).collect()));
        Value::from(answer)
    }
}

impl Search {
    /// Counts the events that match by each field, at most `top` values of each, and over time. Without a `bucket` the
    /// bars are as short as they can be and still be few.
    ///
    /// # Errors
    /// When a trail cannot be read.
    pub fn summary(
        &mut self,
        filter: &Filter,
        top: usize,
        bucket: Option<Duration>,
    ) -> Result<Summary, SearchError> {
        let total = self.count(filter)?;
        let mut facets = Vec::with_capacity(FIELDS.len());
        for (name, field) in FIELDS {
            facets.push((name, self.facets(filter, field, top)?));
        }
        let bucket = bucket.unwrap_or_else(|| self.fitting_span(filter));
        let histogram = self.histogram(filter, bucket)?;
        Ok(Summary { total, facets, bucket, histogram })
    }

    /// The shortest span with which the events fit into few bars.
    fn fitting_span(&mut self, filter: &Filter) -> Duration {
        let mut bucket = Duration::from_secs(SPANS[SPANS.len() - 1]);
        for seconds in SPANS.into_iter().rev() {
            let shorter = Duration::from_secs(seconds);
            match self.histogram(filter, shorter) {
                Ok(bars) if bars.len() <= BARS_MAX => bucket = shorter,
                // More spans than an answer can have: longer ones then.
                _ => break,
            }
        }
        bucket
    }
}
