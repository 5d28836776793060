//! What became of an erasure, as JSON: the same from the command line and over HTTP.

use serde_json::{Value, json};
use trailseal_core::{Erased, WouldErase};
use trailseal_event::{Index, Timestamp};

/// What no erasure reaches, whatever the policy says.
const COPIES: [&str; 3] = [
    "copies of the key file, such as backups made with --personal-keys: remove them",
    "exports, bundles and answers that showed personal values in plain",
    "logs and stores of the application itself",
];

/// What was erased.
pub fn erased_json(erased: &Erased) -> Value {
    let Erased { keys, erased_by, already, .. } = erased;
    json!({
        "dry_run": false,
        "keys": keys,
        "erased_by": erased_by.iter().map(|index| index.get()).collect::<Vec<_>>(),
        "already": already_json(*already),
    })
}

fn already_json(already: Option<(Index, Timestamp)>) -> Value {
    already.map_or(Value::Null, |(index, time)| json!({"index": index.get(), "time": time.to_string()}))
}

/// What would be erased, and what would not.
pub fn would_erase_json(would: &WouldErase) -> Value {
    let WouldErase { keys, fields, plain, held_by, without_subject, already, .. } = would;
    let counts = |name: &str, counts: &[(String, u64)]| {
        counts.iter().map(|(field, count)| json!({"field": field, name: count})).collect::<Vec<_>>()
    };
    json!({
        "dry_run": true,
        "keys": keys,
        "already": already_json(*already),
        "fields": counts("values", fields),
        "held_by": held_by.iter().map(|(hold, events)| json!({"hold": hold, "events": events})).collect::<Vec<_>>(),
        "not_reached": {
            "plain": counts("events", plain),
            "without_subject": counts("values", without_subject),
            "copies": COPIES,
        },
    })
}
