//! Statements that a session of the server keeps planned: over many partitions, planning one takes longer than running it.
//!
//! They are prepared by SQL's own PREPARE, under names made of their text, and looked for in the transaction that executes
//! them. So nothing relies on the session: behind a pooler, another transaction may get another one, which has others of
//! them or none. No value is part of a text; the values wait in settings that end with the transaction.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::sql::Sql;

/// What [`query`] sets for a statement over all partitions, until the transaction ends or [`forget`].
///
/// Its plan must do for all values. Where an index has the order that is wanted, it is never better to sort what may be
/// millions of rows; and where only one has the condition, never to read the table.
pub(super) const ANY_VALUES: &[(&str, &str)] =
    &[("plan_cache_mode", "force_generic_plan"), ("enable_sort", "off"), ("enable_seqscan", "off")];

/// Where a session begins to drop the oldest of them: a plan over 100 partitions takes about a MiB of its memory.
const PARTITIONS_IN_ALL: usize = 2_400;
const KEPT_MIN: usize = 4;
const KEPT_MAX: usize = if cfg!(debug_assertions) { 5 } else { 24 };

/// A statement with more values than this is hardly asked twice, and is planned for them.
const VALUES_MAX: usize = 32;

/// Executes a statement with a plan that is kept, and makes that first if there is none. Within a transaction.
pub(super) async fn query(client: &Client, sql: &Sql, settings: &[(&str, &str)]) -> Result<Vec<Row>, Error> {
    let values = sql.parameters();
    if values.len() > VALUES_MAX {
        return client.query_typed(sql.as_str(), &values).await;
    }
    let kept = Kept::of(sql.as_str(), values.iter().map(|(_, of)| of));
    match kept.find(client, &values, settings).await? {
        Some(true) => {}
        Some(false) if cfg!(trailseal_fault = "store_kept_by_name_alone") => {}
        found => {
            if found.is_some() {
                client.batch_execute(&format!("DEALLOCATE {}", kept.name)).await?;
            }
            make_room(client).await?;
            client.batch_execute(&kept.prepare).await?;
        }
    }
    client.query_typed(&kept.execute, &[]).await
}

/// Lets the rest of the transaction be planned for the values that it has.
pub(super) async fn forget(client: &Client, settings: &[(&str, &str)]) -> Result<(), Error> {
    let mut sql = String::new();
    for (name, _) in settings {
        let _ = write!(sql, "SET LOCAL {name} TO DEFAULT; ");
    }
    client.batch_execute(&sql).await
}

/// What is sent for a statement.
struct Kept {
    name: String,
    prepare: String,
    execute: String,
}

impl Kept {
    fn of<'a>(text: &str, types: impl Iterator<Item = &'a Type>) -> Kept {
        let (mut declared, mut values) = (String::new(), String::new());
        for (at, of) in types.enumerate() {
            let (of, before) = (type_name(of), if at == 0 { "" } else { ", " });
            let _ = write!(declared, "{before}{of}");
            let _ = write!(values, "{before}current_setting('{}')::{of}", value_name(at));
        }
        let in_brackets = |some: String| if some.is_empty() { some } else { format!(" ({some})") };
        let (declared, values) = (in_brackets(declared), in_brackets(values));
        let mut name = "trailseal_".to_owned();
        for byte in Sha256::digest(format!("{declared}{text}")).iter().take(16) {
            let _ = write!(name, "{byte:02x}");
        }
        Kept {
            prepare: format!("PREPARE {name}{declared} AS {text}"),
            execute: format!("EXECUTE {name}{values}"),
            name,
        }
    }

    /// Whether the session has a statement of this name, and whether it is this one. Also hands over values and settings.
    async fn find(
        &self,
        client: &Client,
        values: &[(&(dyn ToSql + Sync), Type)],
        settings: &[(&str, &str)],
    ) -> Result<Option<bool>, Error> {
        let mut sql = "SELECT (SELECT statement = $1 FROM pg_catalog.pg_prepared_statements WHERE name = $2)"
            .to_owned();
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            vec![(&self.prepare, Type::TEXT), (&self.name, Type::TEXT)];
        for (at, (value, of)) in values.iter().enumerate() {
            parameters.push((*value, of.clone()));
            let number = parameters.len();
            let _ = write!(sql, ", set_config('{}', ${number}::text, true)", value_name(at));
        }
        for (name, value) in settings {
            let _ = write!(sql, ", set_config('{name}', '{value}', true)");
        }
        let rows = client.query_typed(&sql, &parameters).await?;
        rows.first().map_or(Ok(None), |row| row.try_get(0))
    }
}

/// Where the value of a parameter waits.
fn value_name(at: usize) -> String {
    format!("trailseal.value_{}", at + 1)
}

fn type_name(of: &Type) -> &'static str {
    match *of {
        Type::TEXT_ARRAY => "text[]",
        Type::INT8 => "bigint",
        Type::INT8_ARRAY => "bigint[]",
        Type::TIMESTAMPTZ => "timestamptz",
        _ => "text",
    }
}

/// Drops the oldest, so that there is room for one more.
async fn make_room(client: &Client) -> Result<(), Error> {
    let mut sql = Sql::default();
    sql.push("SELECT format('DEALLOCATE %I', name) FROM pg_catalog.pg_prepared_statements ");
    sql.push("WHERE starts_with(name, 'trailseal_') ORDER BY prepare_time DESC, name OFFSET (");
    sql.push("SELECT least(").number(KEPT_MAX as i64).push(", greatest(").number(KEPT_MIN as i64);
    sql.push(", ").number(PARTITIONS_IN_ALL as i64).push(" / greatest(count(*), 1))) - 1 FROM pg_inherits ");
    sql.push("WHERE inhparent = 'trailseal.events'::regclass)");
    for row in client.query_typed(sql.as_str(), &sql.parameters()).await? {
        client.batch_execute(row.try_get(0)?).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_text_and_types_and_no_value_is_sent_in_a_text() {
        let mut sql = Sql::default();
        sql.push("SELECT ").text("secret").push(", ").numbers(&[7]);
        let kept = |sql: &Sql| Kept::of(sql.as_str(), sql.parameters().iter().map(|(_, of)| of));
        let Kept { name, prepare, execute } = kept(&sql);
        assert_eq!(prepare, format!("PREPARE {name} (text, bigint[]) AS SELECT $1, $2"));
        assert_eq!(
            execute,
            format!(
                "EXECUTE {name} (current_setting('trailseal.value_1')::text, \
                 current_setting('trailseal.value_2')::bigint[])"
            )
        );
        let mut other = Sql::default();
        other.push("SELECT ").text("other").push(", ").number(7);
        assert_ne!(kept(&other).name, name, "other types");
        let plain = Sql::default();
        assert!(kept(&plain).execute.len() == "EXECUTE ".len() + kept(&plain).name.len());
    }
}
