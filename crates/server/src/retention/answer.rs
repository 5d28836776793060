//! What became of a retirement, and holds, as JSON: the same from the command line and over HTTP.

use serde_json::{Map, Value, json};
use trailseal_core::{Hold, Retained};

/// What was retired, or would have been.
pub fn retained_json(retained: &Retained) -> Value {
    let Retained {
        dry_run,
        events,
        bytes,
        segments,
        segments_removed,
        freed_bytes,
        kept,
        retired_by,
        archive,
        ..
    } = retained;
    let held_by = kept.held_by.iter().map(|(hold, events)| json!({"hold": hold, "events": events}));
    let sinks = kept
        .sinks
        .iter()
        .map(|sink| json!({"name": sink.name, "cursor": sink.cursor.get(), "attached": sink.is_attached}));
    json!({
        "dry_run": dry_run,
        "events": events,
        "bytes": bytes,
        "segments": segments,
        "segments_removed": segments_removed,
        "freed_bytes": freed_bytes,
        "retired_by": retired_by.iter().map(|index| index.get()).collect::<Vec<_>>(),
        "archive": archive,
        "kept": {
            "own": kept.own,
            "held": kept.held,
            "held_by": held_by.collect::<Vec<_>>(),
            "undelivered": kept.undelivered,
            "sinks": sinks.collect::<Vec<_>>(),
            "unsealed": kept.unsealed,
            "in_open_segment": kept.in_open_segment,
        },
    })
}

/// A legal hold.
pub fn hold_json(hold: &Hold) -> Value {
    let mut filters = Map::new();
    for (name, value) in &hold.filters {
        if let Value::Array(values) = filters.entry(name).or_insert_with(|| json!([])) {
            values.push(value.as_str().into());
        }
    }
    let mut answer = json!({
        "name": hold.name, "reason": hold.reason, "filters": filters, "added": hold.added, "index": hold.index,
    });
    if hold.shared {
        answer["shared"] = true.into();
    }
    answer
}
