//! A JSON value that keeps what was sent: the order of keys and the exact text of numbers.

/// Any JSON value.
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

/// A JSON number; one that was parsed keeps its exact text.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// A signed whole number.
    I64(i64),
    /// A whole number above `i64::MAX`.
    U64(u64),
    /// A finite binary fraction; never NaN or infinite (those become [`Value::String`]).
    F64(f64),
    /// The number's JSON text, as it was sent.
    Text(Box<str>),
}

/// A JSON object in the order in which its keys came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(pub(crate) Vec<(String, Value)>);
