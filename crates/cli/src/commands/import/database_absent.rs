//! What stands for a table in PostgreSQL in a build without it.

use std::io::BufRead;

use trailseal_import::tables::Table;

use crate::failure::{Failure, Outcome};

pub(super) type Opened = (String, &'static Table, Box<dyn BufRead + Send>);

pub(super) fn open(_url: &str, _wanted: Option<&'static Table>) -> Outcome<Opened> {
    Err(Failure::could_not(
        "this trailseal was built without PostgreSQL: give a dump, or use one with the feature `postgres`",
    ))
}
