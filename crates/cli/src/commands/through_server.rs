//! Commands that write while a server holds the trail: they ask it over its socket, and it does the work.

mod import;
mod post;

use std::io::{ErrorKind, Write as _};

use serde_json::{Value, json};
use trailseal_event::policy::Mode;
use trailseal_event::{BadLine, Event, Warning, Warnings};

use super::deciding::refuse_store;
use super::input::{self, LINE_BYTES_MAX};
use super::record::refused::Refused;
use super::record::{Lines as Input, OTHER_FORMS, Told, array, lines_of, read_line, refuse_other_coding};
use super::text::write_text;
use crate::arguments::{Ack, Policy, Record};
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::server_client::{ServerClient, detail, detail_of_one};
pub(super) use import::import;
use post::{Lines, Post};

/// `record`, done by the server.
pub(super) fn record(server: &ServerClient, arguments: &Record, json: bool) -> Outcome {
    if arguments.store.url.is_some() {
        return Err(Failure::could_not(
            "--store: the server that holds this trail delivers to the store that it was given",
        ));
    }
    let mut input = match input::of_events(arguments.file.as_deref())? {
        Some(file) => lines_of(file),
        None => lines_of(std::io::stdin()),
    };
    refuse_other_coding(&mut input)?;
    let ack = match arguments.ack {
        None | Some(Ack::Accepted) => "accepted",
        Some(Ack::Durable) => "durable",
        Some(Ack::Store) => "store",
    };
    let mut sending = Sending {
        post: Post::new(
            server,
            format!("/v1/events?ack={ack}{}", if arguments.strict { "&strict=true" } else { "" }),
        ),
        lines: Lines::default(),
        so_far: SoFar {
            json,
            is_read: true,
            recorded: 0,
            failed: 0,
            not_json: 0,
            told: Told::default(),
            refused: Refused::default(),
        },
    };
    let sent = sending.read_and_send(&mut input);
    let SoFar { recorded, failed, not_json, told, mut refused, .. } = sending.so_far;
    refused.finish();
    if let Err(failure) = sent {
        return Err(match failure {
            Failure::CouldNot(what) if recorded > 0 => {
                Failure::could_not(format!("{what}; {} were recorded before", thousands(recorded)))
            }
            failure => failure,
        });
    }
    if !json {
        told.finish();
        let not_recorded =
            if failed > 0 { format!(", {} not recorded", thousands(failed)) } else { String::new() };
        tell(&format!("{} recorded by {}{not_recorded}", thousands(recorded), server.described()));
        if recorded == 0 && not_json > 0 && not_json == failed {
            tell(OTHER_FORMS);
        }
    }
    if failed > 0 { Err(Failure::No(None)) } else { Ok(()) }
}

struct Sending<'a> {
    post: Post<'a>,
    /// Pending lines with their numbers.
    lines: Lines<u64>,
    so_far: SoFar,
}

/// What has become of the lines so far.
struct SoFar {
    json: bool,
    /// Whether anybody still reads the receipts.
    is_read: bool,
    recorded: u64,
    failed: u64,
    /// How many of those that failed are no JSON.
    not_json: u64,
    told: Told,
    refused: Refused,
}

impl Sending<'_> {
    /// Everything that comes in.
    fn read_and_send(&mut self, input: &mut Input) -> Outcome {
        let (mut line, mut is_begun) = (Vec::new(), false);
        for number in 1u64.. {
            line.clear();
            let is_line = read_line(input, &mut line);
            if !is_line.map_err(|error| Failure::could_not(format!("could not continue reading: {error}")))? {
                break;
            }
            if !is_begun && array::begins_in(&line) {
                line.push(b'\n');
                self.send_array(&array::read_rest(line, input)?)?;
                break;
            }
            is_begun |= !array::is_blank(&line);
            self.add(number, line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii())?;
            // Reported as soon as the server has it, before waiting for more input.
            if memchr::memchr(b'\n', input.buffer()).is_none() {
                self.send()?;
            }
        }
        self.send()
    }

    fn add(&mut self, number: u64, text: &[u8]) -> Outcome {
        if text.is_empty() {
            return Ok(());
        }
        if text.len() > LINE_BYTES_MAX {
            tell(&format!(
                "line {number}: not recorded: the line is longer than {} MiB",
                LINE_BYTES_MAX >> 20
            ));
            self.so_far.failed += 1;
            return Ok(());
        }
        // What a server could take for several events, or for none, is judged here; everything else is left to it.
        let is_like_object = text.starts_with(b"{") && text.ends_with(b"}");
        if !is_like_object && let Err(error) = Event::from_json(text) {
            tell(&format!("line {number}: not recorded: {error}"));
            self.so_far.failed += 1;
            self.so_far.not_json += u64::from(matches!(error, BadLine::NotJson { .. }));
            return Ok(());
        }
        self.lines.push(number, text.to_vec());
        if self.lines.are_enough() { self.send() } else { Ok(()) }
    }

    /// Sends an array, which is recorded whole or not at all.
    fn send_array(&mut self, array: &[u8]) -> Outcome {
        let count = array::texts_of(array)?.len();
        if count == 0 {
            return Ok(());
        }
        let answer = self.post.ask(array)?;
        let places: Vec<String> = (0..count).map(|place| format!("event {place}")).collect();
        if matches!(answer.status, 202 | 504) {
            return self.so_far.take_receipts(&places, answer.status, &answer.body);
        }
        let problem = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if !is_of_events(answer.status, &problem) {
            return Err(Failure::could_not(detail(&problem, answer.status)));
        }
        tell(&format!("nothing was recorded: {}", detail(&problem, answer.status)));
        self.so_far.failed += count as u64;
        Ok(())
    }

    /// Sends the pending lines.
    fn send(&mut self) -> Outcome {
        let lines = self.lines.take();
        self.post.send(lines, &mut |lines, answer| self.so_far.take(&lines, answer.status, &answer.body))
    }
}

impl SoFar {
    fn take(&mut self, lines: &[(u64, Vec<u8>)], status: u16, body: &[u8]) -> Outcome {
        let places: Vec<String> = lines.iter().map(|(number, _)| format!("line {number}")).collect();
        if matches!(status, 202 | 504) {
            return self.take_receipts(&places, status, body);
        }
        let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let reason = if lines.len() == 1 { detail_of_one(&answer, status) } else { detail(&answer, status) };
        if !is_of_events(status, &answer) {
            return Err(Failure::could_not(reason));
        }
        for place in &places {
            match status {
                // The server cannot take any event now.
                429 | 503 => self.refused.add(place, &reason),
                _ => tell(&format!("{place}: not recorded: {reason}")),
            }
        }
        self.failed += lines.len() as u64;
        if answer["type"].as_str().is_some_and(|kind| kind.ends_with("not-json")) {
            self.not_json += lines.len() as u64;
        }
        Ok(())
    }

    /// What became of events that were taken.
    fn take_receipts(&mut self, places: &[String], status: u16, body: &[u8]) -> Outcome {
        let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        if status == 504 {
            tell(&detail(&answer, status));
            self.failed += places.len() as u64;
        }
        self.recorded += answer["accepted"].as_u64().unwrap_or(0);
        let receipts = answer["events"].as_array().map_or(&[][..], Vec::as_slice);
        if !self.json {
            for (place, receipt) in places.iter().zip(receipts) {
                self.told.add(place, &warnings_of(receipt));
            }
        }
        self.tell_receipts(receipts)
    }

    /// Writes receipts, if wanted. Recording continues even if nobody reads them any more.
    fn tell_receipts(&mut self, receipts: &[Value]) -> Outcome {
        if !(self.json && self.is_read) {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        let written = receipts.iter().try_for_each(|receipt| writeln!(out, "{receipt}"));
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.is_read = false,
            other => other?,
        }
        Ok(())
    }
}

/// Whether a refusal is of these events, or passes (429, 503). Any other one would be that of every line: it ends the command.
fn is_of_events(status: u16, answer: &Value) -> bool {
    match status {
        400 | 409 | 413 | 422 | 429 | 503 => true,
        // An event is another tenant's; without an item, the token may not record at all.
        403 => answer["item"].is_u64(),
        _ => false,
    }
}

/// The warnings in a receipt.
fn warnings_of(receipt: &Value) -> Warnings {
    let told = receipt["warnings"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |warning: &Value, name: &str| warning[name].as_str().unwrap_or_default().to_owned();
    let warning = |warning: &Value| Warning {
        field: text(warning, "field"),
        problem: text(warning, "problem").into(),
        hint: text(warning, "hint").into(),
    };
    Warnings {
        told: told.iter().map(warning).collect(),
        more: receipt["more_warnings"].as_u64().unwrap_or(0),
    }
}

/// `policy set`, done by the server. `settings` is left to SIGHUP, since only the server's own settings count there.
pub(super) fn policy(server: &ServerClient, command: &Policy) -> Outcome<bool> {
    let Policy::Set { mode, rate, store } = command else { return Ok(false) };
    refuse_store(store)?;
    if mode == "settings" {
        return Err(Failure::could_not("a server holds the trail: send it SIGHUP to return to its settings"));
    }
    let Some(wanted) = Mode::parse(mode) else { return Ok(false) };
    let answer = server.ask("GET", "/v1/policy", b"")?;
    if answer.status != 200 {
        return Err(answer.refused());
    }
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let mut policy = trailseal_event::policy::Policy::from_toml(&text)
        .map_err(|error| Failure::could_not(format!("the server's policy could not be read: {error}")))?;
    policy.otherwise.mode = wanted;
    policy.otherwise.rate = match (wanted, rate) {
        (Mode::Sampled, None) => {
            return Err(Failure::could_not("mode sampled needs a share: add --rate 0.1"));
        }
        (_, rate) => rate.unwrap_or(1.0),
    };
    if wanted != Mode::Sync {
        policy.otherwise.acknowledge = trailseal_event::policy::Acknowledge::Durable;
    }
    let answer = server.ask("PUT", "/v1/policy", policy.to_toml().as_bytes())?;
    if answer.status == 202 {
        let review: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        return Err(Failure::no(format!(
            "not in force: weakening the policy needs a second person to approve review {}",
            review["id"].as_str().unwrap_or_default()
        )));
    }
    if answer.status != 200 {
        return Err(answer.refused());
    }
    tell("set by the server and kept across restarts; SIGHUP returns the server to its settings");
    Ok(true)
}

/// `key rotate`, done by the server.
pub(super) fn rotate_key(server: &ServerClient, as_json: bool) -> Outcome {
    let answer = server.json("POST", "/v1/keys/rotate", &Value::Null)?;
    let key = answer["public_key"].as_str().unwrap_or_default().to_owned();
    tell("from now on a new key signs the trail; keep it with the checkpoints that you keep elsewhere");
    write_text(None, &format!("{key}\n"), as_json.then(|| json!({ "public_key": key })))
}
