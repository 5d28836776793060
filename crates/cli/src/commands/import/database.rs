//! A table in PostgreSQL.

use std::io::{self, BufRead};

use trailseal_core::deliver::MustEnd;
use trailseal_core::with_causes;
use trailseal_import::tables::Table;
use trailseal_postgres::StoreUrl;
use trailseal_postgres::foreign::{ForeignRow, ForeignRows, ForeignTable, tables_named};

use super::rows::{RowLines, Rows};
use super::which_table::{self, Found};
use crate::failure::{Failure, Outcome};

/// The password, if the URL has none: arguments can be seen by others.
const PASSWORD: &str = "PGPASSWORD";

/// Where the rows of a table come from, as it may be shown; which it is; and the rows.
pub(super) type Opened = (String, &'static Table, Box<dyn BufRead + Send>);

/// Opens the rows of the table that `wanted` says, or of the only known one.
pub(super) fn open(url: &str, wanted: Option<&'static Table>) -> Outcome<Opened> {
    let mut url = StoreUrl::parse(url).map_err(|error| {
        // Its text speaks of a store.
        Failure::could_not(error.to_string().replace("the store's URL", "the URL to import from"))
    })?;
    if let Ok(password) = std::env::var(PASSWORD) {
        url.set_password(&password);
    }
    let place = url.shown().to_owned();
    let mut connection = url.connect(&MustEnd::default())?;
    let mut names: Vec<&str> = Table::all().map(Table::name).collect();
    names.dedup();
    let found = tables_named(&mut connection, &names)?;
    let found =
        found.iter().filter_map(|found| which_table::known(Some(&found.schema), &found.name, &found.columns));
    let Found { table, schema, name, columns } = which_table::choose(&place, found.collect(), wanted)?;
    let foreign = ForeignTable { schema: schema.unwrap_or_default(), name, columns };
    let rows = ForeignRows::open(connection, &foreign, table.order())?;
    let name = format!("{place} {}.{}", foreign.schema, foreign.name);
    Ok((name, table, Box::new(RowLines::new(DatabaseRows(rows), table, foreign.columns))))
}

struct DatabaseRows(ForeignRows);

impl Rows for DatabaseRows {
    fn some(&mut self) -> io::Result<Vec<ForeignRow>> {
        self.0.some().map_err(|error| io::Error::other(with_causes(&error)))
    }
}
