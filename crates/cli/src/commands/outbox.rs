//! `trailseal outbox`: events that an application writes in its own transactions, taken over into the trail.

use std::time::Duration;

use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use trailseal_core::Trail;
use trailseal_core::deliver::MustEnd;
use trailseal_postgres::outbox::{self, OutboxState, RefusedEvent, Relay};
use trailseal_postgres::{Connection, StoreUrl};

use super::text::write_out;
use super::writing::{close_trail, open_trail_with};
use crate::arguments::{Outbox, OutboxFlag};
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::settings::Settings;

/// How often it is looked whether the relay must end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn run(settings: &Settings, command: &Outbox, as_json: bool) -> Outcome {
    match command {
        Outbox::Relay { outbox, until_empty } => relay(settings, outbox, *until_empty, as_json),
        Outbox::Migrate { outbox } => migrated(&named(settings, outbox)?, as_json),
        Outbox::Schema => {
            let sql = trailseal_outbox::SCHEMA_SQL;
            let text = if as_json { format!("{}\n", json!({ "sql": sql })) } else { sql.to_owned() };
            write_out(None, text.as_bytes())
        }
        Outbox::Status { outbox } => {
            let mut connection = connect(&named(settings, outbox)?)?;
            show(&outbox::look(&mut connection)?, as_json)
        }
        Outbox::Release { origin, outbox } => {
            let mut connection = connect(&named(settings, outbox)?)?;
            let events = outbox::release(&mut connection, origin)?;
            let text = match as_json {
                true => json!({ "origin": origin, "released": events }).to_string(),
                false => format!("{} events that {origin} had claimed wait again", thousands(events)),
            };
            write_out(None, format!("{text}\n").as_bytes())
        }
    }
}

/// `trailseal redeliver`.
pub(super) fn redelivered(settings: &Settings, flag: &OutboxFlag, as_json: bool) -> Outcome {
    let mut connection = connect(&named(settings, flag)?)?;
    let done = outbox::redeliver(&mut connection)?;
    let text = match as_json {
        true => {
            let left = done.first_left.iter().map(refused_json).collect::<Vec<_>>();
            json!({ "redelivered": done.events, "left": done.left, "first_left": left }).to_string()
        }
        false => {
            let left: String =
                done.first_left.iter().map(|event| format!("\n{}", refused_line(event))).collect();
            format!("{} events wait in the outbox again{left}", thousands(done.events))
        }
    };
    write_out(None, format!("{text}\n").as_bytes())?;
    match done.left {
        0 => Ok(()),
        left => Err(Failure::no(format!(
            "{} events stay in trailseal_outbox.refused, because the outbox would refuse them: correct them there, or delete \
             them",
            thousands(left)
        ))),
    }
}

fn refused_json(event: &RefusedEvent) -> Value {
    json!({ "key": event.key, "id": event.id, "reason": event.reason })
}

fn refused_line(event: &RefusedEvent) -> String {
    crate::output::printable(&format!("  key {}, {}: {}", event.key, event.id, event.reason))
}

fn named(settings: &Settings, flag: &OutboxFlag) -> Outcome<StoreUrl> {
    let outbox = settings.outbox(flag)?.ok_or_else(|| {
        Failure::could_not("no outbox is named: give --outbox URL, or set url under [outbox] in the settings")
    })?;
    Ok(outbox.url().clone())
}

fn connect(url: &StoreUrl) -> Outcome<Connection> {
    Ok(url.connect(&MustEnd::default())?)
}

fn relay(settings: &Settings, flag: &OutboxFlag, until_empty: bool, as_json: bool) -> Outcome {
    let url = named(settings, flag)?;
    let must_stop = std::sync::Arc::default();
    for signal in [SIGINT, SIGTERM] {
        let registered = signal_hook::flag::register(signal, std::sync::Arc::clone(&must_stop));
        registered.map_err(|error| Failure::could_not(format!("could not listen for signals: {error}")))?;
    }
    // It goes on, so what a long-running program has, and not what a short one has.
    let store = settings.own_store()?;
    let options = if until_empty { settings.one_shot_options()? } else { settings.options()? };
    let trail = open_trail_with(settings, options, store.as_ref())?;
    let relay = Relay::start(trail.clone(), url)
        .map_err(|error| Failure::could_not(format!("could not start a relay: {error}")))?;
    let must_stop = || must_stop.load(std::sync::atomic::Ordering::Acquire);
    let mut trouble = None;
    loop {
        let is_empty = relay.wait_emptied(LOOK_EVERY);
        if must_stop() || (until_empty && is_empty) || relay.stats().has_ended {
            break;
        }
        if until_empty && relay.stats().trouble.is_some() {
            trouble = relay.stats().trouble;
            break;
        }
        if is_empty {
            std::thread::sleep(LOOK_EVERY);
        }
    }
    let stats = relay.stop();
    let closed = close_trail(&trail);
    let (taken_over, refused) = (stats.taken_over, stats.refused);
    if as_json {
        write_out(None, format!("{}\n", json!({ "taken_over": taken_over, "refused": refused })).as_bytes())?;
    } else if trouble.is_none() || taken_over > 0 {
        tell(&format!("{} events taken over, {} put aside", thousands(taken_over), thousands(refused)));
    }
    closed?;
    match trouble {
        Some(reason) => Err(Failure::could_not(format!("the outbox could not be emptied: {reason}"))),
        None if until_empty && refused > 0 => Err(Failure::no(format!(
            "{} events cannot be recorded: `trailseal outbox status` says why",
            thousands(refused)
        ))),
        None => Ok(()),
    }
}

fn migrated(url: &StoreUrl, as_json: bool) -> Outcome {
    let mut connection = connect(url)?;
    let before = outbox::version(&mut connection)?;
    outbox::migrate(&mut connection)?;
    let after = outbox::version(&mut connection)?;
    let text = match (as_json, before == after) {
        (true, _) => json!({ "outbox": url.shown(), "before": before, "version": after }).to_string(),
        (false, true) => format!("{} has an outbox already", url.shown()),
        (false, false) => format!("{} has an outbox now", url.shown()),
    };
    write_out(None, format!("{text}\n").as_bytes())
}

fn show(state: &OutboxState, as_json: bool) -> Outcome {
    let OutboxState { waiting, waits, taken, refused, first_refused, newest_refused, .. } = state;
    if as_json {
        let taken: Vec<_> = taken
            .iter()
            .map(
                |it| json!({ "origin": it.origin, "events": it.events, "waits_seconds": it.waits.as_secs() }),
            )
            .collect();
        let answer = json!({
            "waiting": waiting, "waits_seconds": waits.as_secs(), "taken": taken, "refused": refused,
            "first_refused": first_refused,
            "newest_refused": newest_refused.iter().map(refused_json).collect::<Vec<_>>(),
        });
        return write_out(None, format!("{answer}\n").as_bytes());
    }
    let mut text = format!("{} events wait, the oldest for {} s\n", thousands(*waiting), waits.as_secs());
    for it in taken {
        text.push_str(&format!(
            "{} events are claimed by {}, the oldest for {} s\n",
            thousands(it.events),
            it.origin,
            it.waits.as_secs()
        ));
    }
    text.push_str(&format!("{} events cannot be recorded\n", thousands(*refused)));
    if newest_refused.len() < usize::try_from(*refused).unwrap_or(usize::MAX) {
        text.push_str(&format!("the newest {} of them:\n", newest_refused.len()));
    }
    for event in newest_refused {
        text.push_str(&format!("{}\n", refused_line(event)));
    }
    write_out(None, text.as_bytes())
}

/// The relay of a server, if the settings name an outbox.
pub(super) fn beside(settings: &Settings, trail: &Trail) -> Outcome<Option<Relay>> {
    let Some(outbox) = settings.own_outbox()? else { return Ok(None) };
    let relay = Relay::start(trail.clone(), outbox.url().clone());
    relay.map(Some).map_err(|error| Failure::could_not(format!("could not start a relay: {error}")))
}
