//! `trailseal erase`: makes one person's values unreadable.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use trailseal_core::EraseError;
use trailseal_server::{erased_json, would_erase_json};

use super::deciding::make_sure_of_holds;
use super::retain::for_each_trail;
use super::text::write_out;
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
    // With several slots, a person may be in some of them.
    let (mut unknown, mut is_found) = (None, false);
    for_each_trail(settings, |trail| {
        make_sure_of_holds(settings, trail)?;
        let done = match erase.dry_run {
            true => trail.would_erase(&subject).map(|would| would_erase_json(&would)),
            false => trail.erase(&subject).map(|erased| erased_json(&erased)),
        };
        let mut answer = match done {
            Err(error @ (EraseError::Off | EraseError::Unknown)) => {
                unknown = Some(error);
                return Ok(());
            }
            done => done?,
        };
        is_found = true;
        if let Value::Object(members) = &mut answer {
            members.insert("origin".into(), trail.origin().into());
        }
        show(&answer, as_json)
    })?;
    unknown.filter(|_| !is_found).map_or(Ok(()), |error| Err(error.into()))
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
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
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
