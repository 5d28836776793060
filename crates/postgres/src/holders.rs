//! Who holds what a migration waits for, as far as the database shows it to this role.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::connect::Connection;
use crate::error::StoreError;

const ASK_WITHIN: Duration = Duration::from_secs(20);

/// So many are named.
const NAMED_MAX: i64 = 5;

/// Sessions in the way of whoever makes or changes the tables of the schema $1: they hold its table `migrations`, or have made
/// something in the database and not committed it.
const IN_THE_WAY: &str = "
    SELECT DISTINCT l.pid, a.usename::text, a.application_name
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.granted AND l.locktype = 'relation' AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
      AND l.relation IN (to_regclass(quote_ident($1) || '.migrations'), 'pg_catalog.pg_namespace'::regclass,
                         'pg_catalog.pg_class'::regclass)
    ORDER BY l.pid LIMIT $2";

/// Sessions that use any table of the schema: a step that changes one waits for them.
const THAT_USE_IT: &str = "
    SELECT DISTINCT l.pid, a.usename::text, a.application_name
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.granted AND l.locktype = 'relation' AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND c.relnamespace = to_regnamespace(quote_ident($1))
    ORDER BY l.pid LIMIT $2";

/// Whether what was to be made is there: somebody else made it before, or at the same time.
pub(crate) fn is_there_already(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::DUPLICATE_SCHEMA | &SqlState::DUPLICATE_TABLE | &SqlState::UNIQUE_VIOLATION)
    )
}

/// If a migration of this schema failed since others hold what it needs, the error says who does.
pub(crate) fn told(connection: &mut Connection, schema: &'static str, error: StoreError) -> StoreError {
    match error {
        StoreError::Postgres { doing, store, source }
            if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) =>
        {
            let by = named(connection, schema).unwrap_or_default();
            StoreError::Held { doing, store, by: said(&by) }
        }
        error => error,
    }
}

/// Process, user and program of each.
type Session = (i32, Option<String>, Option<String>);

fn named(connection: &mut Connection, schema: &'static str) -> Result<Vec<Session>, StoreError> {
    connection.run("ask who holds", ASK_WITHIN, async |client| {
        client.batch_execute("ROLLBACK").await?;
        let mut found = Vec::new();
        for sql in [IN_THE_WAY, THAT_USE_IT] {
            if found.is_empty() {
                let rows =
                    client.query_typed(sql, &[(&schema, Type::TEXT), (&NAMED_MAX, Type::INT8)]).await?;
                let session =
                    |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
                found = rows.iter().map(session).collect::<Result<_, tokio_postgres::Error>>()?;
            }
        }
        Ok(found)
    })
}

fn said(sessions: &[Session]) -> String {
    let Some((first, ..)) = sessions.first() else {
        return "nobody is to be seen who still does: try again".to_owned();
    };
    let one = |(process, user, program): &Session| {
        let user = user.as_deref().unwrap_or("a user who is not shown");
        match program.as_deref().filter(|program| !program.is_empty()) {
            Some(program) => format!("process {process} of {user} ({program})"),
            None => format!("process {process} of {user}"),
        }
    };
    let all: Vec<String> = sessions.iter().map(one).collect();
    format!(
        "{}. Let that end, or end it with SELECT pg_terminate_backend({first}), and try again",
        all.join(", ")
    )
}
