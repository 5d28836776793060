//! `trailseal policy`: what happens to each event.

use std::path::Path;
use std::sync::Arc;

use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, Trail};
use trailseal_event::policy::{Acknowledge, Mode, Policy};
use trailseal_server::{Owner, waits_in_vain};

use super::deciding::decide;
use super::reading::trails_to_read;
use super::text::{read_text, write_out};
use crate::arguments::{Policy as Command, StoreFlag};
use crate::failure::{Failure, Outcome};
use crate::output::tell;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, command: &Command, json: bool) -> Outcome {
    match command {
        Command::Show => show(settings, json),
        Command::Check { file } => check(file, json),
        Command::Set { mode, rate, store } => set(settings, mode, *rate, store),
    }
}

/// The policy of the trail, or of each slot: each slot keeps the one that was set for it.
fn show(settings: &Settings, json: bool) -> Outcome {
    let dir = settings.dir();
    // Where there is no folder yet, the first event makes a trail with the policy of the settings.
    let folders = if dir.exists() { trails_to_read(&dir)? } else { vec![dir] };
    for dir in folders {
        let folder = Folder::new(&dir, Arc::new(StdFiles));
        let kept = folder.kept_policy().map_err(|error| {
            Failure::could_not(format!("{}: {error}", folder.kept_policy_file().display()))
        })?;
        let (policy, source) = match kept {
            Some(policy) => (policy, folder.kept_policy_file().display().to_string()),
            None => (settings.policy()?, settings.policy_source()),
        };
        let (is_slot, text) = (dir != settings.dir(), policy.to_toml());
        let shown = if json {
            let mut answer = serde_json::json!({
                "source": source, "mode": policy.otherwise.mode.name(), "rules": policy.rules.len(), "toml": text,
            });
            if is_slot {
                answer["slot"] = dir.display().to_string().into();
            }
            format!("{answer}\n")
        } else if is_slot {
            format!("# slot {}\n# from: {source}\n{text}", dir.display())
        } else {
            format!("# from: {source}\n{text}")
        };
        write_out(None, shown.as_bytes())?;
    }
    Ok(())
}

/// A standalone policy, or the one in a settings file.
fn check(file: &Path, json: bool) -> Outcome {
    let text = read_text(file)?;
    let policy = match Policy::from_toml(&text) {
        Ok(policy) => policy,
        // A settings file has other settings too; then all of it is checked.
        Err(error) if error.is_of_another_setting() => {
            match Settings::of_file(file).and_then(|settings| settings.policy()) {
                Ok(policy) => policy,
                Err(failure) if json => {
                    let answer = serde_json::json!({"ok": false, "message": failure.text()});
                    write_out(None, format!("{answer}\n").as_bytes())?;
                    return Err(Failure::No(None));
                }
                Err(failure) => return Err(Failure::no(failure.text())),
            }
        }
        Err(error) if json => {
            let answer = serde_json::json!({
                "ok": false, "line": error.line, "column": error.column, "message": error.what,
            });
            write_out(None, format!("{answer}\n").as_bytes())?;
            return Err(Failure::No(None));
        }
        Err(error) => return Err(Failure::no(format!("{}:{error}", file.display()))),
    };
    let (mode, rules) = (policy.otherwise.mode.name(), policy.rules.len());
    if json {
        let answer = serde_json::json!({"ok": true, "mode": mode, "rules": rules});
        return write_out(None, format!("{answer}\n").as_bytes());
    }
    write_out(None, format!("ok: mode {mode}, {rules} rules\n").as_bytes())
}

fn set(settings: &Settings, mode: &str, rate: Option<f64>, store: &StoreFlag) -> Outcome {
    let from_settings = settings.policy()?;
    let wanted = match (mode, Mode::parse(mode)) {
        ("settings", _) => None,
        (_, Some(mode)) => Some(with_rate(mode, rate)?),
        (_, None) => {
            return Err(Failure::could_not(format!(
                "unknown mode {mode:?}: use sync, async, sampled or off, or `settings` to return to the settings"
            )));
        }
    };
    let is_shared = settings.store(store)?.is_some();
    decide(settings, store, "policy", |owner, trail| match wanted {
        None if is_shared => return_all_to(settings, owner, &from_settings),
        None => return_to(settings, trail, from_settings),
        Some((mode, rate)) if is_shared => {
            let before = owner.policy()?;
            let policy = with_mode(settings, before.policy(), mode, rate)?;
            may_replace(settings, before.policy(), &policy)?;
            Ok(owner.replace_policy(&before, &policy)?)
        }
        Some((mode, rate)) => put_in_force(settings, trail, mode, rate),
    })?;
    tell(match wanted {
        None if is_shared => "the policy of these settings is in force at every server of the store",
        None => "the settings are in force again",
        Some(_) if is_shared => {
            "set for every server of the store; `trailseal policy set settings` sets that of the settings"
        }
        Some(_) => "set and kept across restarts; `trailseal policy set settings` returns to the settings",
    });
    Ok(())
}

/// A mode with the share that it keeps.
pub(crate) fn with_rate(mode: Mode, rate: Option<f64>) -> Outcome<(Mode, f64)> {
    match (mode, rate) {
        (Mode::Sampled, None) => Err(Failure::could_not("mode sampled needs a share: add --rate 0.1")),
        (Mode::Sampled, Some(rate)) if !(0.0..=1.0).contains(&rate) => {
            Err(Failure::could_not(format!("--rate cannot be {rate}: use a number from 0 to 1")))
        }
        (Mode::Sampled, Some(rate)) => Ok((mode, rate)),
        (_, None) => Ok((mode, 1.0)),
        (_, Some(_)) => Err(Failure::could_not("--rate needs mode sampled")),
    }
}

/// Puts a mode in force for events that match no rule.
pub(crate) fn put_in_force(settings: &Settings, trail: &Trail, mode: Mode, rate: f64) -> Outcome {
    let policy = with_mode(settings, &trail.policy(), mode, rate)?;
    may_replace(settings, &trail.policy(), &policy)?;
    Ok(trail.set_policy(policy)?)
}

/// A policy with another mode for events that match no rule.
fn with_mode(settings: &Settings, before: &Policy, mode: Mode, rate: f64) -> Outcome<Policy> {
    let mut policy = before.clone();
    policy.otherwise.acknowledge = match (mode, policy.otherwise.mode) {
        (Mode::Sync, Mode::Sync) => policy.otherwise.acknowledge,
        // The previous mode had none; the settings say what sync waits for.
        (Mode::Sync, _) => settings.policy()?.otherwise.acknowledge,
        _ => Acknowledge::Durable,
    };
    (policy.otherwise.mode, policy.otherwise.rate) = (mode, rate);
    Ok(policy)
}

/// Applies the policy of the settings, unless that needs a second person.
pub(super) fn return_to(settings: &Settings, trail: &Trail, policy: Policy) -> Outcome {
    let current = trail.policy();
    may_replace(settings, &current, &policy)?;
    if let Some(why) = waits_in_vain(trail, &policy) {
        return Err(Failure::could_not(why));
    }
    Ok(trail.reset_policy_from(&current, policy)?)
}

/// Sets the policy of the settings for all that share a store, unless that needs a second person.
pub(super) fn return_all_to(settings: &Settings, owner: &Owner, policy: &Policy) -> Outcome {
    let before = owner.policy()?;
    may_replace(settings, before.policy(), policy)?;
    Ok(owner.replace_policy(&before, policy)?)
}

/// Refuses to weaken the policy if that needs a second person: without a server there is nobody to ask.
pub(crate) fn may_replace(settings: &Settings, from: &Policy, to: &Policy) -> Outcome {
    if !settings.second_person()?.policy {
        return Ok(());
    }
    match from.weakened_by(to).first() {
        None => Ok(()),
        Some(weakening) => Err(Failure::could_not(format!(
            "weakening the policy needs a second person ({}): use `trailseal policy set` or PUT /v1/policy while \
             `trailseal serve` runs",
            weakening.describe(from, to)
        ))),
    }
}
