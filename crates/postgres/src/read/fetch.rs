//! The rows of a statement, some at a time: however many there are, few are in memory, and it can be ended between them.

use std::ops::ControlFlow;
use std::time::Instant;

use tokio_postgres::{Client, Error, Row};

use super::sql::Sql;

/// At first so many, and then as many as take about so many bytes.
const ROWS_FIRST: usize = 64;
const ROWS_MAX: usize = 2_048;
const BYTES: usize = 4 << 20;

/// How many bytes a row was, or that no more are wanted.
pub(super) type Seen = Result<ControlFlow<(), usize>, Error>;

/// Calls `each` with every row; it says how many bytes that was, or to stop. Returns whether all were seen: the time may be
/// over before. Within a transaction.
pub(super) async fn each_row(
    client: &Client,
    sql: &Sql,
    deadline: Instant,
    each: &mut dyn FnMut(&Row) -> Seen,
) -> Result<bool, Error> {
    // All rows are wanted, not the first ones soon.
    client.batch_execute("SET LOCAL cursor_tuple_fraction = 1").await?;
    let declare = format!("DECLARE fetched NO SCROLL CURSOR FOR {}", sql.as_str());
    client.query_typed(&declare, &sql.parameters()).await?;
    let (mut rows, mut bytes, mut seen) = (ROWS_FIRST, 0, 0);
    let mut is_whole = false;
    'fetching: while Instant::now() < deadline {
        let some = client.query_typed(&format!("FETCH FORWARD {rows} FROM fetched"), &[]).await?;
        for row in &some {
            match each(row)? {
                ControlFlow::Continue(len) => bytes += len,
                ControlFlow::Break(()) => break 'fetching,
            }
        }
        if some.len() < rows {
            is_whole = true;
            break;
        }
        seen += some.len();
        rows = (BYTES * seen / bytes.max(1)).clamp(1, ROWS_MAX);
    }
    client.batch_execute("CLOSE fetched").await?;
    Ok(is_whole)
}
