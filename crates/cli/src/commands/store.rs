//! `trailseal store`: the tables of a shared store, the keys that its servers know, and the SQL for separate roles and for views.

use serde_json::json;
use trailseal_core::deliver::MustEnd;
use trailseal_postgres::shared::Shared;
use trailseal_postgres::views::{Ids, View};
use trailseal_postgres::{RetiredOrigin, StoreUrl, check_readable, migrate, retire, roles, version, views};
use trailseal_tlog::VerifyingKey;

use super::text::write_out;
use super::verify::keys;
use crate::arguments::{Store, StoreFlag};
use crate::failure::{Failure, Outcome};
use crate::output::thousands;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, command: &Store, json: bool) -> Outcome {
    match command {
        Store::Migrate { store } => migrated(named(settings, store)?.url(), json),
        Store::Retire { store, public_key } => {
            retired(named(settings, store)?.url(), &keys(public_key)?, json)
        }
        Store::RejectViewers { origin, store } => rejected(named(settings, store)?.url(), origin, json),
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

fn named(settings: &Settings, flag: &StoreFlag) -> Outcome<crate::store::Store> {
    settings.store(flag)?.ok_or_else(|| {
        Failure::could_not("no store is named: give --store URL, or set url under [store] in the settings")
    })
}

fn retired(url: &StoreUrl, keys: &[VerifyingKey], json: bool) -> Outcome {
    let mut connection = url.connect(&MustEnd::default())?;
    check_readable(&mut connection)?;
    let origins = retire(&mut connection, keys)?;
    let left = origins.iter().find_map(|origin| Some((&origin.origin, origin.left.as_ref()?)));
    let text = match json {
        true => {
            let origins = origins.iter().map(
                |origin| json!({ "origin": origin.origin, "events": origin.events, "left": origin.left }),
            );
            format!("{}\n", json!({ "origins": origins.collect::<Vec<_>>() }))
        }
        false => origins.iter().map(line).collect(),
    };
    write_out(None, text.as_bytes())?;
    match left {
        Some((origin, why)) => Err(Failure::no(format!("{origin}: {why}"))),
        None => Ok(()),
    }
}

fn rejected(url: &StoreUrl, origin: &str, json: bool) -> Outcome {
    let keys = Shared::new(url.clone()).reject_viewer_keys(origin)?;
    if keys == 0 {
        return Err(Failure::no(format!(
            "{origin}: the store has no viewer key of this server that is not rejected yet; give the origin of its trail"
        )));
    }
    let text = match json {
        true => json!({ "origin": origin, "rejected": keys }).to_string(),
        false => format!(
            "{origin}: rejected {keys} viewer {}; to give this server a new one, stop it, remove `viewer_secret` from \
             tokens.json in its folder, and start it",
            if keys == 1 { "key" } else { "keys" }
        ),
    };
    write_out(None, format!("{text}\n").as_bytes())
}

fn line(retired: &RetiredOrigin) -> String {
    let RetiredOrigin { origin, events, left, .. } = retired;
    let left = if left.is_some() { ", and not all" } else { "" };
    format!("{origin}: dropped {} retired events{left}\n", thousands(*events))
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
