//! Bodies of JSON.

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
