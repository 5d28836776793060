//! `trailseal store`: the tables of a shared store, and the SQL for separate roles.

use trailseal_core::deliver::MustEnd;
use trailseal_postgres::{StoreUrl, migrate, roles, version};

use super::text::write_out;
use crate::arguments::Store;
use crate::failure::{Failure, Outcome};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, command: &Store, json: bool) -> Outcome {
    match command {
        Store::Migrate { store } => {
            let store = settings.store(store)?.ok_or_else(|| {
                Failure::could_not(
                    "no store is named: give --store URL, or set url under [store] in the settings",
                )
            })?;
            migrated(store.url(), json)
        }
        Store::Roles { prefix } => {
            let sql = roles::sql(prefix).ok_or_else(|| {
                Failure::could_not(format!(
                    "--prefix {prefix:?} cannot begin a role's name: take a lower-case letter, then letters, digits and \
                     underscores, 40 at most"
                ))
            })?;
            let text = if json { format!("{}\n", serde_json::json!({ "sql": sql })) } else { sql };
            write_out(None, text.as_bytes())
        }
    }
}

fn migrated(url: &StoreUrl, json: bool) -> Outcome {
    let mut connection = url.connect(&MustEnd::default())?;
    let before = version(&mut connection)?;
    migrate(&mut connection)?;
    let after = version(&mut connection)?;
    let text = match (json, before == after) {
        (true, _) => {
            serde_json::json!({ "store": url.shown(), "before": before, "version": after }).to_string()
        }
        (false, true) => format!("{}: version {} already", url.shown(), shown(after)),
        (false, false) => format!("{}: from version {} to {}", url.shown(), shown(before), shown(after)),
    };
    write_out(None, format!("{text}\n").as_bytes())
}

fn shown(version: Option<i32>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| version.to_string())
}
