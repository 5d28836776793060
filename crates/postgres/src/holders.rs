//! Who may hold what a migration has waited for, as far as the database shows it to this role.
//!
//! When this is asked, the wait is over, so nobody can say who blocked it: others may hold locks of the same kind.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::connect::Connection;
use crate::error::StoreError;

const ASK_WITHIN: Duration = Duration::from_secs(20);

/// At most this many are named.
const NAMED_MAX: i64 = 5;

/// Sessions that may be in the way of whoever makes or changes the tables of the schema $1: they hold its table `migrations`, or
/// have changed something in the database and not committed it, such as made a schema of that name.
const IN_THE_WAY: &str = "
    SELECT l.pid, a.usename::text, a.application_name
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.granted AND l.pid <> pg_backend_pid()
      AND (l.locktype = 'transactionid' AND a.datname = current_database()
           OR l.locktype = 'relation' AND l.relation = to_regclass(quote_ident($1) || '.migrations')
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND l.mode NOT IN ('AccessShareLock', 'RowShareLock'))
    GROUP BY l.pid, a.usename, a.application_name
    ORDER BY bool_or(l.locktype = 'relation') DESC, l.pid LIMIT $2";

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

/// If a migration of this schema has waited too long for a lock, the error says who may hold it.
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
    if sessions.is_empty() {
        return "whoever held it is gone, or not visible to this user: try again".to_owned();
    }
    let one = |(process, user, program): &Session| {
        let user = user.as_deref().unwrap_or("a user who is not shown");
        match program.as_deref().filter(|program| !program.is_empty()) {
            Some(program) => format!("process {process} of {user} ({program})"),
            None => format!("process {process} of {user}"),
        }
    };
    let all: Vec<String> = sessions.iter().map(one).collect();
    format!(
        "these sessions may hold it: {}. Try again when they have ended; while it waits, pg_blocking_pids says which one blocks",
        all.join(", ")
    )
}
