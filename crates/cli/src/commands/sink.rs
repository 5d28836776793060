//! `trailseal sink`: what must have an event before it is retired.

use serde_json::{Value, json};

use super::retain::for_each_trail;
use super::text::write_out;
use crate::arguments::Sink;
use crate::failure::{Failure, Outcome};
use crate::output::tell;
use crate::server_client::{ServerClient, segment};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, command: &Sink, as_json: bool) -> Outcome {
    match command {
        Sink::List => for_each_trail(settings, |trail| {
            let failed = |error| Failure::could_not(format!("could not read the sinks: {error}"));
            let sinks = trail.sinks().map_err(failed)?.into_iter().map(
                |sink| json!({"name": sink.name, "cursor": sink.cursor.get(), "attached": sink.is_attached}),
            );
            show(&json!({"origin": trail.origin(), "sinks": sinks.collect::<Vec<_>>()}), as_json)
        }),
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
        let attached = if sink["attached"] == true { "attached" } else { "not attached" };
        text.push_str(&format!("{name:<24} has everything below {}, {attached}\n", sink["cursor"]));
    }
    write_out(None, text.as_bytes())
}
