//! How many events have each value of a field.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use crate::event::{Object, Value};
use crate::personal::ERASABLE;

/// What an entry takes beside its texts, about.
const ENTRY_BYTES: usize = 128;

/// A value of a field, and how many events have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetValue {
    /// The value, such as an actor's id.
    pub value: String,
    /// An actor's name, if it has both: the most frequent one.
    pub name: Option<String>,
    /// How many events.
    pub count: u64,
}

impl FacetValue {
    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        let mut one = Object::default();
        one.insert("value", self.value.as_str());
        if let Some(name) = &self.name {
            one.insert("name", name.as_str());
        }
        one.insert("count", self.count);
        Value::from(one)
    }
}

/// The values of one field that were counted so far, with the names that come with them.
#[derive(Clone, Debug, Default)]
pub struct ByValue {
    counts: HashMap<String, Named>,
    bytes: usize,
}

/// A value's number of events, and its most frequent name with the number of its events.
#[derive(Clone, Debug, Default)]
struct Named {
    count: u64,
    name: Option<(String, u64)>,
}

impl ByValue {
    /// Counts `n` events of this value, and this name if it has one.
    pub fn add(&mut self, value: &str, name: Option<&str>, n: u64) {
        let named = match self.counts.get_mut(value) {
            Some(named) => named,
            None => {
                self.bytes += ENTRY_BYTES + value.len() + name.map_or(0, str::len);
                self.counts.entry(value.to_owned()).or_default()
            }
        };
        named.count += n;
        named.offer(name, n);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: ByValue) {
        other.counts.into_iter().for_each(|(value, named)| self.add_named(&value, named));
    }

    /// Adds what another has counted for one value, and takes it away there.
    pub fn move_from(&mut self, other: &mut ByValue, value: &str) {
        if let Some(named) = other.counts.remove(value) {
            self.add_named(value, named);
        }
    }

    fn add_named(&mut self, value: &str, Named { count, name }: Named) {
        self.add(value, None, count);
        if let (Some((name, n)), Some(own)) = (name, self.counts.get_mut(value)) {
            own.offer(Some(&name), n);
        }
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// At most `top` of them, the most frequent first, then by value.
    pub fn most_frequent(self, top: usize) -> Vec<FacetValue> {
        let mut most = MostFrequent::new(top);
        self.offer_to(&mut most);
        most.into_values()
    }

    /// Offers all of them, of which none was offered before.
    pub fn offer_to(self, most: &mut MostFrequent) {
        for (value, Named { count, name }) in self.counts {
            most.offer(FacetValue { value, name: name.map(|(name, _)| name), count });
        }
    }
}

impl Named {
    /// The same name may come in several parts; then the largest part counts, which is good enough to choose one.
    fn offer(&mut self, name: Option<&str>, n: u64) {
        let Some(name) = name.filter(|name| is_shown(name)) else { return };
        let is_better = self.name.as_ref().is_none_or(|(own, most)| (n, name) > (*most, own));
        if is_better {
            self.name = Some((name.to_owned(), n));
        }
    }
}

/// What stands for a personal or masked name says nothing to people.
fn is_shown(name: &str) -> bool {
    !name.is_empty() && name != ERASABLE && !name.starts_with("hmac:")
}

/// Keeps the most frequent of any number of values.
#[derive(Debug)]
pub struct MostFrequent {
    top: usize,
    /// The best first.
    kept: BTreeSet<Ranked>,
}

#[derive(Debug, PartialEq, Eq)]
struct Ranked(FacetValue);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other) = (&self.0, &other.0);
        other.count.cmp(&one.count).then_with(|| one.value.cmp(&other.value))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl MostFrequent {
    /// Keeps `top` of them.
    pub fn new(top: usize) -> MostFrequent {
        MostFrequent { top, kept: BTreeSet::new() }
    }

    /// Each value may be offered once.
    pub fn offer(&mut self, value: FacetValue) {
        self.kept.insert(Ranked(value));
        if self.kept.len() > self.top {
            self.kept.pop_last();
        }
    }

    /// The most frequent first, then by value.
    pub fn into_values(self) -> Vec<FacetValue> {
        self.kept.into_iter().map(|Ranked(value)| value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_then_by_value() {
        let mut by_value = ByValue::default();
        for (value, n) in [("b", 2), ("a", 2), ("c", 1), ("d", 9), ("c", 2), ("e", 1)] {
            by_value.add(value, None, n);
        }
        let counts = |top: usize| -> Vec<(String, u64)> {
            by_value.clone().most_frequent(top).into_iter().map(|one| (one.value, one.count)).collect()
        };
        let wanted =
            [("d", 9), ("c", 3), ("a", 2), ("b", 2), ("e", 1)].map(|(value, n)| (value.to_owned(), n));
        assert_eq!(counts(9), wanted);
        assert_eq!(counts(3), wanted[..3]);
        assert_eq!(counts(0), []);
    }

    #[test]
    fn a_value_has_its_most_frequent_name_that_says_something() {
        let (mut one, mut other) = (ByValue::default(), ByValue::default());
        one.add("u1", Some("hmac:00112233:00"), 50);
        one.add("u1", Some(ERASABLE), 50);
        one.add("u1", Some("Chen"), 3);
        one.add("u2", None, 1);
        other.add("u1", Some("Chen Wei"), 4);
        other.add("u3", Some("Li"), 1);
        one.merge(other);
        let name = |name: &str| Some(name.to_owned());
        let told = |counted: &ByValue| -> Vec<(Option<String>, u64)> {
            counted.clone().most_frequent(9).into_iter().map(|one| (one.name, one.count)).collect()
        };
        assert_eq!(told(&one), [(name("Chen Wei"), 107), (None, 1), (name("Li"), 1)]);
        let mut moved = ByValue::default();
        moved.move_from(&mut one, "u1");
        moved.move_from(&mut one, "u1");
        assert_eq!(told(&moved), [(name("Chen Wei"), 107)]);
        assert_eq!(told(&one), [(None, 1), (name("Li"), 1)]);
    }
}
