//! How many events there are of each kind, and when.

use std::time::Duration;

use super::FacetValue;
use crate::event::{Object, Value};
use crate::timestamp::Timestamp;

/// How many events there are of each kind, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// All that match.
    pub total: u64,
    /// For each field its most frequent values with their counts.
    pub facets: Vec<(&'static str, Vec<FacetValue>)>,
    /// The width of a histogram bar.
    pub bucket: Duration,
    /// When each bar begins and how many events it has; empty bars are left out.
    pub histogram: Vec<(Timestamp, u64)>,
}

impl Summary {
    /// As one JSON object, the same for every interface.
    pub fn to_json(&self) -> Value {
        let mut answer = Object::default();
        answer.insert("total", self.total);
        for (name, values) in &self.facets {
            let values = values.iter().map(FacetValue::to_json).collect();
            answer.insert(format!("by_{name}"), Value::Array(values));
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
