//! What masking changed, for tests of several crates.

use trailseal_event::Value;

/// The paths of all values that differ.
pub(crate) fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut changed = Vec::new();
    add_differences(String::new(), before, after, &mut changed);
    changed
}

fn add_differences(path: String, before: &Value, after: &Value, changed: &mut Vec<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before.iter() {
                add_differences(below(key), value, after.get(key).unwrap_or(&Value::Null), changed);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (place, (before, after)) in before.iter().zip(after).enumerate() {
                add_differences(below(&place.to_string()), before, after, changed);
            }
        }
        (before, after) if before != after => changed.push(path),
        _ => {}
    }
}
