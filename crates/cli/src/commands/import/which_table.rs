//! Which table of a database is meant.

use trailseal_import::tables::Table;

use crate::failure::{Failure, Outcome};

/// A table that is there, and known.
pub(super) struct Found {
    pub(super) table: &'static Table,
    pub(super) schema: Option<String>,
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// What this table is taken for, if it is known.
pub(super) fn known(schema: Option<&str>, name: &str, columns: &[String]) -> Option<Found> {
    let table = Table::all().find(|table| table.name() == name && table.has_columns(columns))?;
    Some(Found { table, schema: schema.map(str::to_owned), name: name.to_owned(), columns: columns.to_vec() })
}

/// The one that is wanted, or the only one.
pub(super) fn choose(place: &str, mut found: Vec<Found>, wanted: Option<&'static Table>) -> Outcome<Found> {
    let told = |found: &[Found]| {
        let name = |found: &Found| match &found.schema {
            Some(schema) => format!("{schema}.{} ({})", found.name, found.table.format()),
            None => format!("{} ({})", found.name, found.table.format()),
        };
        found.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let all = told(&found);
    if let Some(wanted) = wanted {
        found.retain(|found| found.table.format() == wanted.format());
    }
    // Where its application makes it, if there are several.
    if found.len() > 1 {
        let usual = |found: &Found| found.schema.as_deref() == Some(found.table.schema().unwrap_or("public"));
        if found.iter().filter(|found| usual(found)).count() == 1 {
            found.retain(usual);
        }
    }
    match (found.len(), wanted) {
        (1, _) => {}
        (0, Some(wanted)) => {
            let instead = if all.is_empty() { String::new() } else { format!("; there is {all}") };
            return Err(Failure::could_not(format!(
                "{place} has no table {} with the columns of {}{instead}: name another with --from",
                wanted.name(),
                wanted.format()
            )));
        }
        (0, None) => {
            let names = Table::all().map(Table::format).collect::<Vec<_>>().join(", ");
            return Err(Failure::could_not(format!("{place} has none of the known tables ({names})")));
        }
        (_, None) => {
            return Err(Failure::could_not(format!("{place} has {}: name one with --from", told(&found))));
        }
        (_, Some(_)) => {
            return Err(Failure::could_not(format!(
                "{place} has {}: give a role that sees only one of them, or a dump of one",
                told(&found)
            )));
        }
    }
    found.pop().ok_or_else(|| Failure::could_not(format!("{place} has no known table")))
}
