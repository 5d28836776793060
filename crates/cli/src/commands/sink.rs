//! `trailseal sink`: what must have an event before it is retired.

use std::sync::Arc;

use serde_json::{Value, json};
use trailseal_core::file::StdFiles;
use trailseal_core::{Reader, sinks_in};

use super::reading::trails_to_read;
use super::retain::for_each_trail;
use super::text::write_out;
use crate::arguments::Sink;
use crate::failure::{Failure, Outcome};
use crate::output::{printable, tell};
use crate::server_client::{ServerClient, segment};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, command: &Sink, as_json: bool) -> Outcome {
    match command {
        Sink::List => list(settings, as_json),
        // With several slots it is forgotten wherever it is known.
        Sink::Forget { name } => {
            let mut unknown = None;
            let mut is_forgotten = false;
            for_each_trail(settings, |trail| match trail.forget_sink(name) {
                Ok(index) => {
                    is_forgotten = true;
                    show_forgotten(
                        &json!({"origin": trail.origin(), "name": name, "index": index.get()}),
                        as_json,
                    )
                }
                Err(error @ trailseal_core::ForgetSinkError::Unknown { .. }) => {
                    unknown = Some(error);
                    Ok(())
                }
                Err(error) => Err(error.into()),
            })?;
            unknown.filter(|_| !is_forgotten).map_or(Ok(()), |error| Err(error.into()))
        }
    }
}

/// As they were last seen. Whether another process has one attached now, only that process knows.
fn list(settings: &Settings, as_json: bool) -> Outcome {
    for folder in trails_to_read(&settings.dir())? {
        let reader = Reader::open(folder, Arc::new(StdFiles))?;
        let attached = if reader.holder().is_some() { Value::Null } else { false.into() };
        let known = sinks_in(reader.folder())
            .map_err(|error| Failure::could_not(format!("could not read the sinks: {error}")))?;
        let sinks: Vec<Value> = known
            .into_iter()
            .map(|sink| json!({"name": sink.name, "cursor": sink.cursor.get(), "attached": attached}))
            .collect();
        show(&json!({"origin": reader.origin(), "sinks": sinks}), as_json)?;
    }
    Ok(())
}

/// The same, done by the server.
pub(super) fn by_server(server: &ServerClient, command: &Sink, as_json: bool) -> Outcome {
    match command {
        Sink::List => show(&server.json("GET", "/v1/sinks", &Value::Null)?, as_json),
        Sink::Forget { name } => {
            server.json("DELETE", &format!("/v1/sinks/{}", segment(name)), &Value::Null)?;
            show_forgotten(&json!({ "name": name }), as_json)
        }
    }
}

fn show_forgotten(answer: &Value, as_json: bool) -> Outcome {
    match as_json {
        true => write_out(None, format!("{answer}\n").as_bytes()),
        false => {
            let name = answer["name"].as_str().unwrap_or_default();
            write_out(None, format!("{name} holds up no retirement any more\n").as_bytes())
        }
    }
}

fn show(answer: &Value, as_json: bool) -> Outcome {
    if as_json {
        return write_out(None, format!("{answer}\n").as_bytes());
    }
    let sinks = answer["sinks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if sinks.is_empty() {
        tell("no sink holds up retirement");
    }
    let mut text = String::new();
    for sink in sinks {
        let name = sink["name"].as_str().unwrap_or_default();
        let attached = match sink["attached"].as_bool() {
            Some(true) => "attached",
            Some(false) => "not attached",
            None => "perhaps attached by the process that writes now",
        };
        text.push_str(&format!(
            "{:<24} has everything below {}, {attached}\n",
            printable(name),
            sink["cursor"]
        ));
    }
    write_out(None, text.as_bytes())
}
