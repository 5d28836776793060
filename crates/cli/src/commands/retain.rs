//! `trailseal retain`: retires old events.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use trailseal_core::file::StdFiles;
use trailseal_core::{Reader, Retained, RetentionRule, Trail, sinks_in, trails_in};
use trailseal_event::Category;
use trailseal_server::retained_json;

use super::deciding::{holds_to_go_by, make_sure_of_holds};
use super::reading::trails_to_read;
use super::text::write_out;
use super::writing::{close_trail, open_trail_in};
use crate::arguments::Retain;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::server_client::ServerClient;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, retain: &Retain, json: bool) -> Outcome {
    let rule = rule(retain)?;
    if retain.dry_run {
        return dry_run(settings, &rule, json);
    }
    if settings.second_person()?.retention {
        return Err(Failure::could_not(
            "retiring events needs a second person: use `trailseal retain` or POST /v1/retention while `trailseal serve` \
             runs",
        ));
    }
    // What goes from the trail goes from the store, and what that lacks stays.
    let store = settings.own_store()?;
    for_each_trail(settings, |trail| {
        make_sure_of_holds(settings, trail)?;
        if let Some(store) = &store {
            store.catch_up(trail)?;
        }
        for stream in settings.streams() {
            stream.catch_up(trail)?;
        }
        let retained = match retain.archive.as_deref().or(settings.retention_archive()) {
            None => trail.retain(&rule, None)?,
            Some(place) => {
                let archive = trailseal_export::archive(place, &rule);
                let mut archive =
                    archive.map_err(|error| Failure::could_not(format!("--archive: {error}")))?;
                trail.retain(&rule, Some(archive.as_mut()))?
            }
        };
        show(&answer(&retained, trail.origin()), json)
    })
}

/// What would go, from what anybody who may read the folder finds in it.
fn dry_run(settings: &Settings, rule: &RetentionRule, json: bool) -> Outcome {
    let store = settings.own_store()?;
    let options = settings.options()?;
    for folder in trails_to_read(&settings.dir())? {
        let reader = Reader::open(&folder, Arc::new(StdFiles))?;
        let holds = holds_to_go_by(settings, reader.folder())?;
        let mut sinks = sinks_in(reader.folder())
            .map_err(|error| Failure::could_not(format!("could not read the sinks: {error}")))?;
        if let Some(store) = &store {
            store.would_catch_up(reader.origin(), &mut sinks);
        }
        let would = reader.would_retain(rule, options.mask.key.as_ref(), &holds, &sinks)?;
        show(&answer(&would, reader.origin()), json)?;
    }
    Ok(())
}

fn answer(retained: &Retained, origin: &str) -> Value {
    let mut answer = retained_json(retained);
    if let Value::Object(members) = &mut answer {
        members.insert("origin".into(), origin.into());
    }
    answer
}

/// The same, done by the server.
pub(super) fn by_server(server: &ServerClient, retain: &Retain, as_json: bool) -> Outcome {
    let rule = rule(retain)?;
    let category: Vec<String> = rule.category.iter().map(ToString::to_string).collect();
    let mut body = json!({
        "older_than_days": rule.older_than_days, "tenant": rule.tenant, "category": category, "dry_run": retain.dry_run,
    });
    if let Some(place) = &retain.archive {
        // The server stands in another folder.
        let is_folder = !place.contains("://");
        let place = if is_folder { absolute(Path::new(place))?.display().to_string() } else { place.clone() };
        body["archive"] = place.into();
    }
    let answer = server.json_patiently("POST", "/v1/retention", &body)?;
    if answer["state"] == "pending" {
        let id = answer["id"].as_str().unwrap_or_default();
        return Err(Failure::no(format!(
            "nothing is retired yet: retiring events needs a second person to approve review {id}"
        )));
    }
    show(&answer, as_json)
}

/// Every trail in the folder, one after the other, open for writing.
pub(super) fn for_each_trail(settings: &Settings, mut each: impl FnMut(&Trail) -> Outcome) -> Outcome {
    // Recording makes a trail; these commands concern one that is there.
    trails_to_read(&settings.dir())?;
    for folder in trails_in(&settings.dir(), &StdFiles).map_err(Failure::io("read", &settings.dir()))? {
        let trail = open_trail_in(settings, &folder)?;
        let done = each(&trail);
        let closed = close_trail(&trail);
        done?;
        closed?;
    }
    Ok(())
}

fn absolute(path: &Path) -> Outcome<PathBuf> {
    let path = std::path::absolute(path).map_err(Failure::io("find", path))?;
    match path.to_str() {
        Some(_) => Ok(path),
        None => {
            Err(Failure::could_not(format!("--archive: {} is not UTF-8: use another folder", path.display())))
        }
    }
}

fn rule(retain: &Retain) -> Outcome<RetentionRule> {
    let mut rule = RetentionRule::older_than_days(retain.older_than);
    rule.tenant.clone_from(&retain.tenant);
    let parse = |name: &String| {
        let wrong = || {
            let known =
                Category::NAMED.iter().map(|category| category.name().into_owned()).collect::<Vec<_>>();
            Failure::could_not(format!("--category cannot be {name:?}: use {} or custom:…", known.join(", ")))
        };
        Category::parse(name).ok_or_else(wrong)
    };
    rule.category = retain.category.iter().map(parse).collect::<Outcome<_>>()?;
    Ok(rule)
}

/// Writes what became of it.
fn show(answer: &Value, json: bool) -> Outcome {
    for sink in answer["kept"]["sinks"].as_array().into_iter().flatten() {
        let name = sink["name"].as_str().unwrap_or_default();
        let way = match sink["attached"] == true {
            true => "it has not received all of them yet".to_owned(),
            false => format!("if it is gone for good: `trailseal sink forget {name}`"),
        };
        tell(&format!("held up by the sink {name}, which has everything below {}: {way}", sink["cursor"]));
    }
    if json {
        return write_out(None, format!("{answer}\n").as_bytes());
    }
    write_out(None, text(answer).as_bytes())
}

fn text(answer: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let count = |name: &str| thousands(number(&answer[name]));
    let (events, segments, removed) = (count("events"), count("segments"), count("segments_removed"));
    let mut text = match answer["dry_run"] == true {
        true => format!(
            "would retire {events} events ({} bytes of lines) from {segments} segments, and remove {removed} of these\n",
            count("bytes")
        ),
        false => format!(
            "retired {events} events from {segments} segments, removed {removed} of these, freed {} bytes\n",
            count("freed_bytes")
        ),
    };
    let by: Vec<String> =
        answer["retired_by"].as_array().into_iter().flatten().map(ToString::to_string).collect();
    if !by.is_empty() {
        text.push_str(&format!("by trail.retired in event {}\n", by.join(", ")));
    }
    if let Some(place) = answer["archive"].as_str() {
        text.push_str(&format!("archived in {place}\n"));
    }
    let kept = &answer["kept"];
    for (name, why) in [
        ("held", "held by legal holds"),
        ("undelivered", "still to be received by a sink"),
        ("unsealed", "not sealed yet"),
        ("in_open_segment", "in the segment that is being written"),
        ("own", "of the trail's own that always stay"),
    ] {
        if number(&kept[name]) > 0 {
            text.push_str(&format!("kept {}: {why}\n", thousands(number(&kept[name]))));
        }
    }
    for hold in kept["held_by"].as_array().into_iter().flatten() {
        let name = hold["hold"].as_str().unwrap_or_default();
        text.push_str(&format!("  {name}: {}\n", thousands(number(&hold["events"]))));
    }
    text
}
