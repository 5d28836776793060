//! `trailseal store`: the tables of a shared store, and the SQL for separate roles and for views.

use trailseal_core::deliver::MustEnd;
use trailseal_postgres::views::{Ids, View};
use trailseal_postgres::{StoreUrl, migrate, roles, version, views};

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
            print(sql, json)
        }
        Store::Views { names, schema, text_ids } => {
            let ids = if *text_ids { Ids::Text } else { Ids::Uuid };
            let sql = views::sql(&asked_for(names)?, schema.as_deref(), ids);
            print(sql.map_err(|error| Failure::could_not(error.to_string()))?, json)
        }
    }
}

fn print(sql: String, json: bool) -> Outcome {
    let text = if json { format!("{}\n", serde_json::json!({ "sql": sql })) } else { sql };
    write_out(None, text.as_bytes())
}

fn asked_for(names: &[String]) -> Outcome<Vec<View>> {
    if names.is_empty() {
        return Ok(View::ALL.into_iter().filter(|view| *view != View::ResyncAuditLogs).collect());
    }
    let known = || View::ALL.map(View::name).join(", ");
    let view = |name: &String| {
        View::parse(name)
            .ok_or_else(|| Failure::could_not(format!("there is no view {name:?}: use {}", known())))
    };
    names.iter().map(view).collect()
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
