//! `trailseal erase`: makes one person's values unreadable.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use trailseal_core::file::StdFiles;
use trailseal_core::{EraseError, Reader};
use trailseal_server::{erased_json, would_erase_json};

use super::deciding::{holds_to_go_by, make_sure_of_holds};
use super::reading::trails_to_read;
use super::retain::for_each_trail;
use super::text::write_out;
use super::writing::options_in;
use crate::arguments::Erase;
use crate::failure::{Failure, Outcome};
use crate::output::{printable, thousands};
use crate::server_client::ServerClient;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, erase: &Erase, as_json: bool) -> Outcome {
    if !erase.dry_run && settings.second_person()?.erasure {
        return Err(Failure::could_not(
            "erasing somebody needs a second person: use `trailseal erase` or POST /v1/subjects/{id}/erase while \
             `trailseal serve` runs",
        ));
    }
    let subject = subject(erase)?;
    if erase.dry_run {
        return dry_run(settings, &subject, as_json);
    }
    // With several slots, a person may be in some of them.
    let (mut unknown, mut is_found) = (None, false);
    for_each_trail(settings, |trail| {
        make_sure_of_holds(settings, trail)?;
        let erased = match trail.erase(&subject) {
            Err(error @ (EraseError::Off | EraseError::Unknown)) => {
                unknown = Some(error);
                return Ok(());
            }
            erased => erased?,
        };
        is_found = true;
        show_of(erased_json(&erased), trail.origin(), as_json)
    })?;
    unknown.filter(|_| !is_found).map_or(Ok(()), |error| Err(error.into()))
}

/// What would be reached, from what anybody who may read the folder finds in it.
fn dry_run(settings: &Settings, subject: &str, as_json: bool) -> Outcome {
    let (mut off, mut is_found) = (None, false);
    for folder in trails_to_read(&settings.dir())? {
        let reader = Reader::open(&folder, Arc::new(StdFiles))?;
        let options = options_in(settings, settings.options()?, &folder)?;
        let holds = holds_to_go_by(settings, reader.folder())?;
        match reader.would_erase(subject, &options.personal, options.mask.key.as_ref(), &holds) {
            Err(error @ EraseError::Off) => off = Some(error),
            would => {
                is_found = true;
                show_of(would_erase_json(&would?), reader.origin(), as_json)?;
            }
        }
    }
    off.filter(|_| !is_found).map_or(Ok(()), |error| Err(error.into()))
}

/// The same, done by the server.
pub(super) fn by_server(server: &ServerClient, erase: &Erase, as_json: bool) -> Outcome {
    // In the body: a log of addresses would keep it.
    let body = json!({"subject": subject(erase)?, "dry_run": erase.dry_run, "reason": erase.reason});
    let answer = server.json_patiently("POST", "/v1/subjects/-/erase", &body)?;
    if answer["state"] == "pending" {
        let id = answer["id"].as_str().unwrap_or_default();
        return Err(Failure::no(format!(
            "nothing is erased yet: erasing somebody needs a second person to approve review {id}"
        )));
    }
    show(&answer, as_json)
}

fn subject(erase: &Erase) -> Outcome<String> {
    if erase.subject != "-" {
        return Ok(erase.subject.clone());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(Failure::io("read", Path::new("-")))?;
    let subject = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text);
    if subject.trim().is_empty() {
        // A pipe whose other end has failed: nothing that is destroyed for that comes back.
        return Err(Failure::could_not(
            "standard input names nobody; for the values whose events name no subject use --subject ''",
        ));
    }
    Ok(subject.to_owned())
}

/// The same, of the trail with this name.
fn show_of(mut answer: Value, origin: &str, as_json: bool) -> Outcome {
    if let Value::Object(members) = &mut answer {
        members.insert("origin".into(), origin.into());
    }
    show(&answer, as_json)
}

/// Writes what became of it.
fn show(answer: &Value, as_json: bool) -> Outcome {
    if as_json {
        return write_out(None, format!("{answer}\n").as_bytes());
    }
    write_out(None, text(answer).as_bytes())
}

fn text(answer: &Value) -> String {
    let keys: Vec<&str> = answer["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let named = if keys.len() == 1 {
        format!("the key {}", keys[0])
    } else {
        format!("the keys {}", keys.join(", "))
    };
    let before = answer["already"].as_object().map(|before| {
        let (index, time) = (&before["index"], before["time"].as_str().unwrap_or_default());
        format!("was erased before, at {time} by trail.erased in event {index}")
    });
    if answer["dry_run"] != true {
        if let Some(before) = before {
            return format!("{before}: nothing was left to do\n");
        }
        let by: Vec<String> =
            answer["erased_by"].as_array().into_iter().flatten().map(ToString::to_string).collect();
        return format!("destroyed {named}, by trail.erased in event {}\n", by.join(", "));
    }
    let mut text = match (keys.is_empty(), before) {
        (true, Some(before)) => format!("{before}: there is no key left to destroy\n"),
        (true, None) => "there is no key to destroy: this subject has no personal values here\n".to_owned(),
        (false, _) => format!("would destroy {named}, and so make unreadable\n"),
    };
    push_counts(&mut text, &answer["fields"], "values");
    let not_reached = &answer["not_reached"];
    for (name, count, what) in [
        ("plain", "events", "not reached: events that hold the subject's id in plain text, in"),
        ("without_subject", "values", "not reached: values in events that name no subject, in"),
    ] {
        if not_reached[name].as_array().is_some_and(|counts| !counts.is_empty()) {
            text.push_str(&format!("{what}\n"));
            push_counts(&mut text, &not_reached[name], count);
        }
    }
    for what in not_reached["copies"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        text.push_str(&format!("not reached: {what}\n"));
    }
    for hold in answer["held_by"].as_array().into_iter().flatten() {
        let (name, events) = (hold["hold"].as_str().unwrap_or_default(), count_of(&hold["events"]));
        text.push_str(&format!(
            "refused while the legal hold {name} holds {events} events of this subject\n"
        ));
    }
    text
}

fn push_counts(text: &mut String, counts: &Value, name: &str) {
    for field in counts.as_array().into_iter().flatten() {
        let path = field["field"].as_str().unwrap_or_default();
        text.push_str(&format!("{:>14}  {}\n", count_of(&field[name]), printable(path)));
    }
}

fn count_of(number: &Value) -> String {
    thousands(number.as_u64().unwrap_or_default())
}
