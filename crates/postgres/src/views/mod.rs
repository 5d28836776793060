//! Views over the store under the table names and columns of other audit logs, so that SQL written for these goes on working.
//!
//! The SQL is printed, to be read and run by the owner of the store. What must hold: no view shows a row that row-level security
//! hides from whoever reads it; no line, however odd, stops a view; and nothing that others have under such a name is touched.

use std::fmt::Write as _;

/// A table whose place a view takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// `pms_audit_log` of Cloud_PMS.
    PmsAuditLog,
    /// `audit_logs` of fastapi-starter.
    AuditLogs,
    /// `audit_logs` of Resync, which has other columns.
    ResyncAuditLogs,
    /// `audit_trail` of budapp.
    AuditTrail,
    /// `audit_events` of llm-orchestrator-audit.
    AuditEvents,
    /// `audit.audit_entries` of Resync.
    AuditEntries,
}

/// Of what type ids are that are UUIDs in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// As in the table. What is no UUID is NULL there, and no index helps to find one.
    Uuid,
    /// As the store has them, found by its indexes.
    Text,
}

/// Two views would have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} and {} are both named {}: make each in a schema of its own", .0.name(), .1.name(), .0.table())]
pub struct SameName(View, View);

impl View {
    /// All of them.
    pub const ALL: [View; 6] = [
        View::PmsAuditLog,
        View::AuditLogs,
        View::AuditTrail,
        View::AuditEvents,
        View::AuditEntries,
        View::ResyncAuditLogs,
    ];

    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            View::ResyncAuditLogs => "resync_audit_logs",
            other => other.table(),
        }
    }

    /// The name of the view.
    pub fn table(self) -> &'static str {
        match self {
            View::PmsAuditLog => "pms_audit_log",
            View::AuditLogs | View::ResyncAuditLogs => "audit_logs",
            View::AuditTrail => "audit_trail",
            View::AuditEvents => "audit_events",
            View::AuditEntries => "audit_entries",
        }
    }

    /// The schema in which the table was.
    pub fn schema(self) -> &'static str {
        if self == View::AuditEntries { "audit" } else { "public" }
    }

    /// The view that is asked for by this name.
    pub fn parse(name: &str) -> Option<View> {
        let name = name.strip_prefix("audit.").unwrap_or(name);
        View::ALL.into_iter().find(|view| view.name() == name)
    }

    fn template(self) -> &'static str {
        match self {
            View::PmsAuditLog => include_str!("pms_audit_log.sql"),
            View::AuditLogs => include_str!("audit_logs.sql"),
            View::ResyncAuditLogs => include_str!("resync_audit_logs.sql"),
            View::AuditTrail => include_str!("audit_trail.sql"),
            View::AuditEvents => include_str!("audit_events.sql"),
            View::AuditEntries => include_str!("audit_entries.sql"),
        }
    }

    fn sql(self, schema: &str, ids: Ids) -> String {
        let text = self.template().replace("{schema}", &quoted(schema));
        let key = match ids {
            Ids::Uuid => "trailseal.key_uuid(e.id, e.origin, e.idx)",
            Ids::Text => "coalesce(e.id, e.origin || '#' || e.idx)::text",
        };
        let mut parts = text.split("{uuid:");
        let mut sql = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (value, rest) = part.split_once('}').unwrap_or((part, ""));
            match ids {
                Ids::Uuid => sql.push_str(&format!("trailseal.as_uuid({value})")),
                Ids::Text => sql.push_str(&format!("({value})::text")),
            }
            sql.push_str(rest);
        }
        sql.replace("{key}", key)
    }
}

/// The SQL that makes these views, in one schema or in those where the tables were.
///
/// # Errors
/// When two would have the same name.
pub fn sql(views: &[View], schema: Option<&str>, ids: Ids) -> Result<String, SameName> {
    let mut sql = include_str!("before.sql").to_owned();
    for (at, view) in views.iter().enumerate() {
        let place = |view: View| (schema.unwrap_or(view.schema()), view.table());
        if let Some(other) = views[..at].iter().find(|other| place(**other) == place(*view)) {
            return Err(SameName(*other, *view));
        }
        let (schema, table) = place(*view);
        let name = format!("{}, '{table}'", literal(schema));
        let view = view.sql(schema, ids);
        // Writing to a text cannot fail.
        let _ = write!(
            sql,
            "\nSELECT pg_temp.make_way({name});\n{view}SELECT pg_temp.open_to_readers({name});\n"
        );
    }
    sql.push_str("\nCOMMIT;\n");
    Ok(sql)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    // Without a backslash this holds whatever `standard_conforming_strings` says.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_views_of_one_name_are_refused_and_names_are_quoted() {
        let both = [View::AuditLogs, View::ResyncAuditLogs];
        let error = sql(&both, None, Ids::Uuid).unwrap_err().to_string();
        assert_eq!(
            error,
            "audit_logs and resync_audit_logs are both named audit_logs: make each in a schema of its own"
        );
        let text = sql(&[View::AuditTrail], Some("a\"b'c"), Ids::Text).unwrap();
        assert!(text.contains(r#"VIEW "a""b'c".audit_trail"#), "{text}");
        assert!(text.contains(r#"make_way(E'a"b''c', 'audit_trail')"#), "{text}");
        for view in View::ALL {
            assert_eq!(View::parse(view.name()), Some(view));
            for ids in [Ids::Uuid, Ids::Text] {
                let text = view.sql("s", ids);
                assert!(!["{uuid", "{key", "{schema"].iter().any(|left| text.contains(left)), "{text}");
            }
        }
        assert_eq!(View::parse("audit.audit_entries"), Some(View::AuditEntries));
        assert_eq!(View::parse("users"), None);
    }
}
