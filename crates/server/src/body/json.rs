//! Bodies of JSON.

use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::Problem;

/// What a body of JSON says, of which the members are known.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request("not-json", format!("the body is not JSON: {error}")))?;
    serde_json::from_value(value)
        .map_err(|error| Problem::unprocessable(format!("the body cannot be used: {error}")))
}

/// A whole number as JSON means it: `900.0` is one too.
pub(crate) fn whole<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let of_float = |float: f64| (float >= 0.0 && float.fract() == 0.0).then_some(float as u64);
    let whole = number.as_u64().or_else(|| number.as_f64().and_then(of_float));
    whole.map(Some).ok_or_else(|| serde::de::Error::custom(format!("{number} is not a whole number")))
}
