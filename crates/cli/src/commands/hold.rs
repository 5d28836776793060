//! `trailseal hold`: legal holds.

use std::sync::Arc;

use serde_json::{Value, json};
use trailseal_core::file::StdFiles;
use trailseal_core::{Reader, Trail, holds_in};
use trailseal_server::{Config, Owner, hold_json, shared_holds};

use super::deciding::refuse_store;
use super::reading::{filter, trails_to_read};
use super::retain::for_each_trail;
use super::text::write_out;
use crate::arguments::{Filters, Hold, StoreFlag};
use crate::failure::{Failure, Outcome};
use crate::output::{printable, tell, thousands};
use crate::server_client::{ServerClient, segment};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, command: &Hold, as_json: bool) -> Outcome {
    match command {
        Hold::Add { name, reason, filters, store } => {
            // Told by the names of the flags, and before anything is held.
            filter(filters)?;
            let filters = pairs(filters);
            if settings.store(store)?.is_none() {
                is_of_a_trail_here(settings, &filters)?;
            }
            change(settings, store, |trail, owner| {
                let added = match owner {
                    None => trail.add_hold(name, reason, &filters)?,
                    Some(owner) => owner.add_hold(name, reason, &filters)?,
                };
                let answer = json!({
                    "origin": trail.origin(), "name": name, "index": added.index.get(), "announced": added.announced,
                });
                show_added(&answer, as_json)
            })
        }
        Hold::Remove { name, store } => change(settings, store, |trail, owner| {
            let mut answer = json!({"origin": trail.origin(), "name": name});
            match owner {
                None => answer["index"] = trail.remove_hold(name)?.get().into(),
                Some(owner) => owner.remove_hold(name)?,
            }
            show_removed(&answer, as_json)
        }),
        Hold::List { store } => list(settings, store, as_json),
    }
}

/// A hold on the events of a trail that is not here would hold nothing.
fn is_of_a_trail_here(settings: &Settings, filters: &[(String, String)]) -> Outcome {
    let origins: Vec<&str> =
        filters.iter().filter(|(name, _)| name == "origin").map(|(_, value)| &**value).collect();
    if origins.is_empty() {
        return Ok(());
    }
    for folder in trails_to_read(&settings.dir())? {
        if origins.contains(&Reader::open(folder, Arc::new(StdFiles))?.origin()) {
            return Ok(());
        }
    }
    Err(Failure::could_not(format!(
        "no trail here is {}: a hold on it would hold nothing; `trailseal stats` shows the names",
        origins.join(" or ")
    )))
}

/// In every trail of the folder; or once, in the store, by the first trail, and the others follow.
fn change(
    settings: &Settings,
    store: &StoreFlag,
    mut change: impl FnMut(&Trail, Option<&Owner>) -> Outcome,
) -> Outcome {
    let Some(store) = settings.store(store)? else {
        return for_each_trail(settings, |trail| change(trail, None));
    };
    let mut config = Config::default();
    store.share(&mut config);
    let mut is_first = true;
    for_each_trail(settings, |trail| {
        let owner = Owner::new(trail.clone(), &config)?;
        match std::mem::take(&mut is_first) {
            true => change(trail, Some(&owner)),
            false => Ok(owner.make_sure_of_holds()?),
        }
    })
}

fn list(settings: &Settings, store: &StoreFlag, as_json: bool) -> Outcome {
    let store = settings.store(store)?;
    if let Some(store) = &store {
        let mut config = Config::default();
        store.share(&mut config);
        let holds: Vec<Value> = shared_holds(&config)?.iter().map(hold_json).collect();
        show(&json!({ "holds": holds }), as_json)?;
    }
    let folders = match (trails_to_read(&settings.dir()), &store) {
        // Those in the store need no folder.
        (Err(_), Some(_)) => return Ok(()),
        (folders, _) => folders?,
    };
    for folder in folders {
        let reader = Reader::open(folder, Arc::new(StdFiles))?;
        let mut holds = holds_in(reader.folder())?;
        holds.retain(|hold| store.is_none() || !hold.shared);
        if store.is_none() || !holds.is_empty() {
            let holds: Vec<Value> = holds.iter().map(hold_json).collect();
            show(&json!({"origin": reader.origin(), "holds": holds}), as_json)?;
        }
    }
    Ok(())
}

/// The same, done by the server.
pub(super) fn by_server(server: &ServerClient, command: &Hold, as_json: bool) -> Outcome {
    match command {
        Hold::Add { name, reason, filters, store } => {
            refuse_store(store)?;
            filter(filters)?;
            let mut wanted = serde_json::Map::new();
            for (filter, value) in filters.pairs() {
                if let Value::Array(values) = wanted.entry(filter).or_insert_with(|| json!([])) {
                    values.push(value.into());
                }
            }
            let body = json!({"name": name, "reason": reason, "filters": wanted});
            show_added(&server.json("POST", "/v1/holds", &body)?, as_json)
        }
        Hold::Remove { name, store } => {
            refuse_store(store)?;
            server.json("DELETE", &format!("/v1/holds/{}", segment(name)), &Value::Null)?;
            show_removed(&json!({ "name": name }), as_json)
        }
        Hold::List { store } => {
            refuse_store(store)?;
            show(&server.json("GET", "/v1/holds", &Value::Null)?, as_json)
        }
    }
}

fn pairs(filters: &Filters) -> Vec<(String, String)> {
    filters.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn show_added(answer: &Value, as_json: bool) -> Outcome {
    if let Some(announced) = answer["announced"].as_u64().filter(|announced| *announced > 0) {
        tell(&format!(
            "a retirement that runs now has already announced {} events: the hold is not applied to those",
            thousands(announced)
        ));
    }
    match as_json {
        true => write_out(None, format!("{answer}\n").as_bytes()),
        false => {
            let name = answer["name"].as_str().unwrap_or_default();
            write_out(None, format!("{name} holds what matches, by event {}\n", answer["index"]).as_bytes())
        }
    }
}

fn show_removed(answer: &Value, as_json: bool) -> Outcome {
    match as_json {
        true => write_out(None, format!("{answer}\n").as_bytes()),
        false => {
            let name = answer["name"].as_str().unwrap_or_default();
            write_out(None, format!("{name} holds nothing any more\n").as_bytes())
        }
    }
}

fn show(answer: &Value, as_json: bool) -> Outcome {
    if as_json {
        return write_out(None, format!("{answer}\n").as_bytes());
    }
    let holds = answer["holds"].as_array().map(Vec::as_slice).unwrap_or_default();
    if holds.is_empty() {
        tell("there are no holds");
    }
    let mut text = String::new();
    for hold in holds {
        let word = |name: &str| hold[name].as_str().unwrap_or_default();
        let filters = hold["filters"].as_object().into_iter().flatten().flat_map(|(name, values)| {
            values
                .as_array()
                .into_iter()
                .flatten()
                .map(move |value| format!("{name}={}", value.as_str().unwrap_or_default()))
        });
        let filters: Vec<String> = filters.collect();
        let filters = if filters.is_empty() { "everything".to_owned() } else { filters.join(" ") };
        let line = format!("{:<24} {filters}, since {}: {}", word("name"), word("added"), word("reason"));
        text.push_str(&printable(&line));
        text.push('\n');
    }
    write_out(None, text.as_bytes())
}
