//! A JSON value that keeps what was sent: the order of keys and the exact text of numbers.

use std::collections::{HashMap, HashSet};

/// Objects up to this many keys are searched one by one; beyond it a table is built.
const SCAN_MAX: usize = 16;

/// Any JSON value.
///
/// ```
/// use trailseal_event::Value;
///
/// let value = Value::parse(br#"{"b":1.50,"a":[true,null]}"#).unwrap();
/// assert_eq!(value.get("a").and_then(|a| a.get_path("0")), Some(&Value::Bool(true)));
/// assert_eq!(value.to_string(), r#"{"b":1.50,"a":[true,null]}"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Value>),
    Object(Object),
}

impl Value {
    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The number, if this is one.
    pub fn as_number(&self) -> Option<&Number> {
        if let Value::Number(number) = self { Some(number) } else { None }
    }

    /// The whole number, if this is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number().and_then(Number::as_i64)
    }

    /// The whole number, if this is one and fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number().and_then(Number::as_u64)
    }

    /// The nearest binary fraction, if this is a number.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number().map(Number::as_f64)
    }

    /// The elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(elements) = self { Some(elements) } else { None }
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&Object> {
        if let Value::Object(object) = self { Some(object) } else { None }
    }

    /// The members, to change them, if this is an object.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Value::Object(object) = self { Some(object) } else { None }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The member named `key`, if this is an object that has one.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object().and_then(|object| object.get(key))
    }

    /// The value at a dotted path of keys and array positions, such as `user.groups.0`. A key that holds
    /// dots itself is found too: at each step the whole rest of the path is tried as one key first.
    pub fn get_path(&self, path: &str) -> Option<&Value> {
        match self {
            Value::Object(object) => object.get_path(path),
            Value::Array(elements) => {
                let (position, rest) = match path.split_once('.') {
                    Some((position, rest)) => (position, Some(rest)),
                    None => (path, None),
                };
                let element = elements.get(position.parse::<usize>().ok()?)?;
                rest.map_or(Some(element), |rest| element.get_path(rest))
            }
            _ => None,
        }
    }

    /// What kind of JSON value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }
}

/// A JSON number; one that was parsed keeps its exact text.
///
/// Two numbers are equal when they are written alike: `1` and `1.0` differ, as in the line.
#[derive(Clone, Debug)]
pub enum Number {
    /// A signed whole number.
    I64(i64),
    /// A whole number above `i64::MAX`.
    U64(u64),
    /// A finite binary fraction; never NaN or infinite (those become [`Value::String`]).
    F64(f64),
    /// The number's JSON text, as it was sent. Text that is no JSON number is written as a string.
    Text(Box<str>),
}

impl Number {
    /// The whole number, if it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Number::I64(number) => Some(*number),
            Number::U64(number) => i64::try_from(*number).ok(),
            Number::F64(_) => None,
            Number::Text(text) => text.parse().ok(),
        }
    }

    /// The whole number, if it is one and fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Number::I64(number) => u64::try_from(*number).ok(),
            Number::U64(number) => Some(*number),
            Number::F64(_) => None,
            Number::Text(text) => text.parse().ok(),
        }
    }

    /// The nearest binary fraction.
    pub fn as_f64(&self) -> f64 {
        match self {
            Number::I64(number) => *number as f64,
            Number::U64(number) => *number as f64,
            Number::F64(number) => *number,
            Number::Text(text) => text.parse().unwrap_or(f64::NAN),
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        match (self, other) {
            (Number::I64(a), Number::I64(b)) => a == b,
            (Number::U64(a), Number::U64(b)) => a == b,
            (Number::Text(a), Number::Text(b)) => a == b,
            _ => self.to_string() == other.to_string(),
        }
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Number::I64(number)
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Number::U64(number), Number::I64)
    }
}

/// A JSON object in the order in which its keys came. No key comes twice; order does not count when two
/// objects are compared.
#[derive(Clone, Debug, Default)]
pub struct Object(pub(crate) Vec<(String, Value)>);

impl Object {
    /// An object without members.
    pub const fn new() -> Self {
        Object(Vec::new())
    }

    /// Sets the member `key` and returns what it was. A new key is put last, a known one keeps its place.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.0.push((key, value));
                None
            }
        }
    }

    /// The member named `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The member named `key`, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The value at a dotted path; see [`Value::get_path`].
    pub fn get_path(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.get(path) {
            return Some(value);
        }
        path.match_indices('.').find_map(|(dot, _)| self.get(&path[..dot])?.get_path(&path[dot + 1..]))
    }

    /// Whether there is a member named `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Takes the member `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let place = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(place).1)
    }

    /// The members in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A way to look up many keys of this object without searching it from the start each time.
    pub(crate) fn lookup(&self) -> Lookup<'_> {
        let table = (self.0.len() > SCAN_MAX)
            .then(|| self.0.iter().map(|(key, value)| (key.as_str(), value)).collect());
        Lookup { object: self, table }
    }
}

/// Finds members of one object; in constant time if it is large.
pub(crate) struct Lookup<'a> {
    object: &'a Object,
    table: Option<HashMap<&'a str, &'a Value>>,
}

impl<'a> Lookup<'a> {
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        match &self.table {
            Some(table) => table.get(key).copied(),
            None => self.object.get(key),
        }
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let same_order = self.0.iter().zip(&other.0).all(|((a, _), (b, _))| a == b);
        if same_order {
            return self.0.iter().zip(&other.0).all(|((_, a), (_, b))| a == b);
        }
        let others = other.lookup();
        self.0.iter().all(|(key, value)| others.get(key) == Some(value))
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Object {
    /// Of doubled keys the last counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        let members = members.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        without_doubles(members, |_, _| ())
    }
}

/// Removes all but the last value of each key; calls `earlier` with those that go.
pub(crate) fn without_doubles(
    mut members: Vec<(String, Value)>,
    mut earlier: impl FnMut(&str, Value),
) -> Object {
    let doubled: HashSet<usize> = if members.len() <= SCAN_MAX {
        let later_has = |place: usize| members[place + 1..].iter().any(|(key, _)| *key == members[place].0);
        if !(0..members.len()).any(later_has) {
            return Object(members);
        }
        (0..members.len()).filter(|&place| later_has(place)).collect()
    } else {
        let mut last = HashMap::with_capacity(members.len());
        members.iter().enumerate().filter_map(|(place, (key, _))| last.insert(key.as_str(), place)).collect()
    };
    if !doubled.is_empty() {
        let all = std::mem::take(&mut members);
        for (place, (key, value)) in all.into_iter().enumerate() {
            if doubled.contains(&place) {
                earlier(&key, value);
            } else {
                members.push((key, value));
            }
        }
    }
    Object(members)
}

impl IntoIterator for Object {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

macro_rules! value_from {
    ($($from:ty, $name:ident => $value:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($name: $from) -> Self {
                $value
            }
        }
    )*};
}

value_from! {
    &str, text => Value::String(text.to_owned());
    &String, text => Value::String(text.clone());
    String, text => Value::String(text);
    bool, truth => Value::Bool(truth);
    i64, number => Value::Number(Number::I64(number));
    i32, number => Value::Number(Number::I64(i64::from(number)));
    u32, number => Value::Number(Number::I64(i64::from(number)));
    u64, number => Value::Number(Number::from(number));
    usize, number => Value::Number(Number::from(number as u64));
    Number, number => Value::Number(number);
    Object, object => Value::Object(object);
}

impl From<f64> for Value {
    /// NaN and the infinities, which JSON does not know, become strings.
    fn from(number: f64) -> Self {
        if number.is_finite() {
            Value::Number(Number::F64(number))
        } else {
            Value::String(number.to_string())
        }
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(elements: Vec<V>) -> Self {
        Value::Array(elements.into_iter().map(Into::into).collect())
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}
