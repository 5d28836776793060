//! Tables of other audit logs.
//!
//! In: the columns and values of a row, as text, from a database or a dump. Out: a record, as one line of JSON. What must hold: a
//! row gives the same record, and so the same id, however it was read: from the server, from a dump, in whatever order
//! of columns and zone of times.

mod dump;
mod statement;

pub use dump::DumpLines;

use trailseal_event::{Object, Value};

use crate::form::RECORD_LEVELS_MAX;
use crate::time::Times;

/// A table of another audit log.
#[derive(Debug)]
pub struct Table {
    format: &'static str,
    schema: Option<&'static str>,
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    /// Without these it is another table of that name.
    has: &'static [&'static str],
    /// With one of these too.
    has_not: &'static [&'static str],
    order: &'static [&'static str],
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    /// Also text that should be JSON.
    Json,
    /// In UTC, if it has no zone.
    Time,
}

use Kind::{Json, Number, Text, Time};

static TABLES: [Table; 7] = [
    Table {
        format: "audit_entries",
        schema: Some("audit"),
        name: "audit_entries",
        columns: &[
            ("id", Number),
            ("action", Text),
            ("user_id", Text),
            ("entity_type", Text),
            ("entity_id", Text),
            ("old_value", Json),
            ("new_value", Json),
            ("ip_address", Text),
            ("user_agent", Text),
            ("timestamp", Time),
            ("metadata", Json),
        ],
        has: &["action", "timestamp"],
        has_not: &[],
        order: &["timestamp", "id"],
    },
    Table {
        format: "pms_audit_log",
        schema: None,
        name: "pms_audit_log",
        columns: &[
            ("id", Text),
            ("yacht_id", Text),
            ("action", Text),
            ("entity_type", Text),
            ("entity_id", Text),
            ("user_id", Text),
            ("created_by", Text),
            ("actor_id", Text),
            ("old_values", Json),
            ("new_values", Json),
            ("signature", Json),
            ("metadata", Json),
            ("created_at", Time),
        ],
        has: &["yacht_id", "action"],
        has_not: &[],
        order: &["created_at", "id"],
    },
    Table {
        format: "audit_logs",
        schema: None,
        name: "audit_logs",
        columns: &[
            ("id", Text),
            ("tenant_id", Text),
            ("user_id", Text),
            ("assumed_by_user_id", Text),
            ("action", Text),
            ("entity_type", Text),
            ("entity_id", Text),
            ("changes", Json),
            ("ip_address", Text),
            ("user_agent", Text),
            ("request_id", Text),
            ("status", Text),
            ("error_message", Text),
            ("created_at", Time),
        ],
        has: &["tenant_id", "action", "created_at"],
        has_not: &[],
        order: &["created_at", "id"],
    },
    Table {
        format: "resync_audit_logs",
        schema: None,
        name: "audit_logs",
        columns: &[
            ("id", Number),
            ("action", Text),
            ("user_id", Text),
            ("username", Text),
            ("resource_type", Text),
            ("resource_id", Text),
            ("details", Json),
            ("details_json", Json),
            ("timestamp", Time),
            ("correlation_id", Text),
            ("source_component", Text),
            ("severity", Text),
            ("ip_address", Text),
            ("user_agent", Text),
        ],
        has: &["action", "timestamp"],
        has_not: &["tenant_id"],
        order: &["timestamp", "id"],
    },
    Table {
        format: "audit_queue",
        schema: None,
        name: "audit_queue",
        columns: &[
            ("id", Number),
            ("memory_id", Text),
            ("user_query", Text),
            ("agent_response", Text),
            ("ia_audit_reason", Text),
            ("ia_audit_confidence", Number),
            ("status", Text),
            ("created_at", Time),
            ("reviewed_at", Time),
        ],
        has: &["memory_id", "status"],
        has_not: &[],
        order: &["created_at", "id"],
    },
    Table {
        format: "audit_trail",
        schema: None,
        name: "audit_trail",
        columns: &[
            ("id", Text),
            ("user_id", Text),
            ("actioned_by", Text),
            ("action", Text),
            ("resource_type", Text),
            ("resource_id", Text),
            ("resource_name", Text),
            ("timestamp", Time),
            ("details", Json),
            ("ip_address", Text),
            ("previous_state", Json),
            ("new_state", Json),
            ("record_hash", Text),
            ("created_at", Time),
            ("modified_at", Time),
        ],
        has: &["action", "resource_type", "timestamp"],
        has_not: &[],
        order: &["timestamp", "id"],
    },
    Table {
        format: "audit_events",
        schema: None,
        name: "audit_events",
        columns: &[
            ("id", Text),
            ("timestamp", Time),
            ("event_type", Text),
            ("user_id", Text),
            ("action", Text),
            ("resource_type", Text),
            ("resource_id", Text),
            ("result", Text),
            ("result_error", Text),
            ("details", Json),
            ("ip_address", Text),
            ("user_agent", Text),
            ("request_id", Text),
            ("previous_hash", Text),
            ("event_hash", Text),
        ],
        has: &["event_type", "action", "timestamp"],
        has_not: &[],
        order: &["timestamp", "id"],
    },
];

impl Table {
    /// The table whose rows are read with the mapping of this name.
    pub fn of_format(format: &str) -> Option<&'static Table> {
        let format = format.replace('-', "_");
        TABLES.iter().find(|table| table.format == format)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = &'static Table> {
        TABLES.iter()
    }

    /// The name of the mapping.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The schema in which its application makes it, if not in the default one.
    pub fn schema(&self) -> Option<&'static str> {
        self.schema
    }

    /// The columns that give the order in which rows were written.
    pub fn order(&self) -> &'static [&'static str] {
        self.order
    }

    /// Whether a table with these columns is this one. Columns of one's own may be there too.
    pub fn has_columns(&self, columns: &[String]) -> bool {
        let is_there = |name: &&str| columns.iter().any(|column| column == name);
        self.has.iter().all(is_there) && !self.has_not.iter().any(is_there)
    }

    /// The columns in the order of the table's definition.
    fn defined(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    /// The record of a row. What is NULL is left out.
    pub fn record(&self, columns: &[String], values: &[Option<String>]) -> String {
        let mut record = Object::new();
        let value_of = |name: &str| {
            let at = columns.iter().position(|column| column == name)?;
            values.get(at).cloned().flatten()
        };
        for (name, kind) in self.columns {
            if let Some(text) = value_of(name) {
                record.insert(*name, kind.value(text));
            }
        }
        let is_other = |column: &&String| !self.columns.iter().any(|(known, _)| known == column);
        let mut others: Vec<&String> = columns.iter().filter(is_other).collect();
        others.sort_unstable();
        for name in others {
            if let Some(text) = value_of(name) {
                record.insert(name.as_str(), text);
            }
        }
        Value::Object(record).to_string()
    }
}

impl Kind {
    fn value(self, text: String) -> Value {
        match self {
            Kind::Text => Value::String(text),
            Kind::Time => match Times::default().read(&text, None) {
                Some(time) => Value::String(time.to_string()),
                None => Value::String(text),
            },
            Kind::Number => match Value::parse(text.as_bytes()) {
                Ok(number @ Value::Number(_)) => number,
                _ => Value::String(text),
            },
            // One level is that of the record.
            Kind::Json => {
                Value::parse_within(text.as_bytes(), RECORD_LEVELS_MAX - 1).unwrap_or(Value::String(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Mapping;

    #[test]
    fn a_row_gives_the_same_record_however_it_was_read() {
        let table = Table::of_format("audit-trail").expect("a table");
        let row = |columns: &[(&str, Option<&str>)]| {
            let (names, values): (Vec<String>, Vec<Option<String>>) =
                columns.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).unzip();
            table.record(&names, &values)
        };
        let one = row(&[
            ("id", Some("6f9619ff")),
            ("timestamp", Some("2026-01-01 11:00:00.5+01")),
            ("details", Some(r#"{"n": 1.50, "s": "a\nb"}"#)),
            ("zone", Some("x")),
            ("user_id", None),
        ]);
        assert_eq!(
            one,
            r#"{"id":"6f9619ff","timestamp":"2026-01-01T10:00:00.500000Z","details":{"n":1.50,"s":"a\nb"},"zone":"x"}"#
        );
        let other = row(&[
            ("zone", Some("x")),
            ("details", Some("{\"n\":1.50,\n \"s\":\"a\\nb\"}")),
            ("timestamp", Some("2026-01-01T10:00:00.500Z")),
            ("id", Some("6f9619ff")),
        ]);
        assert_eq!(one, other);
        let odd = row(&[("timestamp", Some("infinity")), ("details", Some("no json"))]);
        assert_eq!(odd, r#"{"timestamp":"infinity","details":"no json"}"#);
    }

    #[test]
    fn each_table_has_its_mapping() {
        for table in Table::all() {
            assert!(Mapping::builtin(table.format()).is_some(), "{}", table.format());
            assert!(table.has_columns(&table.defined()), "{}", table.format());
        }
    }
}
