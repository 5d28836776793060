//! `trailseal verify`: checks the whole trail, or a proof or bundle without it.

mod kept_file;
mod one_trail;
mod slots;
#[cfg(feature = "postgres")]
mod store;

use std::path::Path;
use std::sync::Arc;

use trailseal_core::file::StdFiles;
use trailseal_core::verify::{self, Unproved, Verdict};
use trailseal_core::{Folder, Manifest, slots_in};
use trailseal_tlog::VerifyingKey;

use one_trail::verified;
use slots::Kept;

use super::bundle;
use super::reading::tell_closed_handoffs;
use super::text::{read_text, write_out};
use crate::arguments::Verify;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, arguments: &Verify, json: bool) -> Outcome {
    let outcome = verify_what_is_named(settings, arguments, json);
    // Whoever wants JSON gets an answer in every case; errors also go to stderr.
    if let (true, Err(Failure::CouldNot(what))) = (json, &outcome) {
        let answer = serde_json::json!({ "ok": false, "problem": null, "message": what });
        write_out(None, format!("{answer}\n").as_bytes())?;
    }
    outcome
}

fn verify_what_is_named(settings: &Settings, arguments: &Verify, json: bool) -> Outcome {
    let keys = keys(&arguments.public_key)?;
    if let Some(path) = &arguments.proof {
        return proof(&read_text(path)?, &needed(keys, "--proof")?, json);
    }
    if let Some(path) = &arguments.consistency {
        return consistency(&read_text(path)?, &needed(keys, "--consistency")?, json);
    }
    if let Some(path) = &arguments.bundle {
        return bundle::verify(path, &keys, json);
    }
    let own = own_origin(settings, arguments);
    let mut checkpoints = Vec::new();
    for path in &arguments.checkpoint {
        checkpoints.extend(kept_file::checkpoints(path, own.as_deref())?);
    }
    if arguments.store.url.is_some()
        && let Some(store) = settings.store(&arguments.store)?
    {
        #[cfg(feature = "postgres")]
        return answer(&Verdicts::Store(store::verified(settings, &store, keys, checkpoints)?), json);
        #[cfg(not(feature = "postgres"))]
        match store {}
    }
    tell_closed_handoffs(&settings.dir());
    answer(&Verdicts::on(&settings.dir(), keys, &checkpoints)?, json)
}

/// The name of the trail, if one is verified that has one.
fn own_origin(settings: &Settings, arguments: &Verify) -> Option<String> {
    let folder = Folder::new(settings.dir(), Arc::new(StdFiles));
    let manifest = Manifest::read(&folder).ok().flatten().filter(|_| arguments.store.url.is_none())?;
    Some(manifest.origin.to_string())
}

fn answer(verdicts: &Verdicts, json: bool) -> Outcome {
    let text = if json { verdicts.to_json()? } else { verdicts.to_text() };
    write_out(None, format!("{}\n", text.trim_end()).as_bytes())?;
    if verdicts.are_good() { Ok(()) } else { Err(Failure::No(None)) }
}

/// What is said of the trail in a folder, or of each of several.
pub(crate) enum Verdicts {
    One(Box<Verdict>),
    /// All must be there and as they were signed.
    Slots(Vec<Verdict>),
    /// Those in a shared store.
    #[cfg(feature = "postgres")]
    Store(Vec<Verdict>),
}

impl Verdicts {
    /// Verifies what is in the folder, with keys and checkpoints that were kept elsewhere.
    pub(crate) fn on(dir: &Path, keys: Vec<VerifyingKey>, checkpoints: &[String]) -> Outcome<Verdicts> {
        let slots = slots_in(dir, &StdFiles).map_err(Failure::io("read", dir))?;
        if slots.is_empty() {
            // If there is no trail, the error names the given folder.
            return Ok(Verdicts::One(Box::new(verified(dir, keys, checkpoints.to_vec())?)));
        }
        Ok(Verdicts::Slots(slots::verify(&slots, &Kept { keys: &keys, checkpoints })?))
    }

    fn all(&self) -> &[Verdict] {
        match self {
            Verdicts::One(verdict) => std::slice::from_ref(verdict),
            Verdicts::Slots(verdicts) => verdicts,
            #[cfg(feature = "postgres")]
            Verdicts::Store(verdicts) => verdicts,
        }
    }

    fn are_good(&self) -> bool {
        self.all().iter().all(|verdict| verdict.ok)
    }

    pub(crate) fn to_json(&self) -> Outcome<String> {
        if let Verdicts::One(verdict) = self {
            return serde_json::to_string(verdict).map_err(Failure::could_not);
        }
        let verdicts = self.all();
        Ok(serde_json::json!({
            "ok": self.are_good(), "trails": verdicts,
            "without_public_key": without_key(verdicts),
            "without_checkpoint": without_checkpoint(verdicts),
        })
        .to_string())
    }

    fn to_text(&self) -> String {
        if let Verdicts::One(verdict) = self {
            return verdict.to_string();
        }
        let verdicts = self.all();
        // Problems come first.
        let mut sorted: Vec<&Verdict> = verdicts.iter().collect();
        sorted.sort_by_key(|verdict| verdict.ok);
        let mut texts: Vec<String> = sorted
            .iter()
            .map(|verdict| format!("{}\ntrail:    {}", self.text_of(verdict), verdict.origin))
            .collect();
        for (what, origins) in
            [("public key", without_key(verdicts)), ("checkpoint", without_checkpoint(verdicts))]
        {
            if !origins.is_empty() {
                texts.push(format!("no {what} was given for {}", origins.join(", ")));
            }
        }
        texts.join("\n\n")
    }
}

impl Verdicts {
    fn text_of(&self, verdict: &Verdict) -> String {
        match self {
            #[cfg(feature = "postgres")]
            Verdicts::Store(_) => trailseal_postgres::verify::StoreText(verdict).to_string(),
            _ => verdict.to_string(),
        }
    }
}

fn without_key(verdicts: &[Verdict]) -> Vec<&str> {
    slots::without(verdicts, |verdict| verdict.key_pinned)
}

fn without_checkpoint(verdicts: &[Verdict]) -> Vec<&str> {
    slots::without(verdicts, |verdict| verdict.checkpoint_pinned)
}

/// Public keys given by the user, each as text or as a file. Only the first line of a text counts, so the output of
/// `key show` can be used as it is.
pub(crate) fn keys(given: &[String]) -> Outcome<Vec<VerifyingKey>> {
    let parse = |text: &str| VerifyingKey::parse(text.lines().next().unwrap_or_default().trim());
    given
        .iter()
        .map(|text| {
            parse(text).or_else(|error| {
                let wrong =
                    |error| Failure::could_not(format!("--public-key {text:?} is not a key: {error}"));
                if !Path::new(text).is_file() {
                    return Err(wrong(error));
                }
                parse(&read_text(Path::new(text))?).map_err(wrong)
            })
        })
        .collect()
}

/// Without a key from outside, a proof proves nothing: whoever made it could have signed it.
fn needed(keys: Vec<VerifyingKey>, flag: &str) -> Outcome<Vec<VerifyingKey>> {
    if keys.is_empty() {
        return Err(Failure::could_not(format!(
            "{flag} needs a public key that you trust: --public-key KEY"
        )));
    }
    Ok(keys)
}

fn proof(text: &str, keys: &[VerifyingKey], json: bool) -> Outcome {
    let proved = verify::verify_proof(text, keys).map_err(|unproved| refuse(&unproved, json))?;
    let line = String::from_utf8_lossy(&proved.line).into_owned();
    if json {
        let answer = serde_json::json!({
            "ok": true, "origin": proved.checkpoint.origin.as_str(), "index": proved.index,
            "tree_size": proved.checkpoint.size, "public_key": proved.key.to_string(), "line": line,
        });
        return write_out(None, format!("{answer}\n").as_bytes());
    }
    tell(&format!(
        "ok: event {} of {} is in the tree of {} events that {} signed",
        proved.index,
        proved.checkpoint.origin,
        thousands(proved.checkpoint.size),
        proved.key,
    ));
    write_out(None, format!("{line}\n").as_bytes())
}

fn consistency(text: &str, keys: &[VerifyingKey], json: bool) -> Outcome {
    let proved = verify::verify_consistency(text, keys).map_err(|unproved| refuse(&unproved, json))?;
    let text = if json {
        let answer = serde_json::json!({
            "ok": true, "origin": proved.new.origin.as_str(), "from": proved.old.size, "to": proved.new.size,
        });
        format!("{answer}\n")
    } else {
        let (from, to) = (thousands(proved.old.size), thousands(proved.new.size));
        format!(
            "ok: the {to} events of {} begin with the {from} of the older checkpoint\n",
            proved.new.origin
        )
    };
    write_out(None, text.as_bytes())
}

fn refuse(unproved: &Unproved, json: bool) -> Failure {
    if !json {
        return Failure::no(format!("NOT PROVED: {}", unproved.message));
    }
    let answer = serde_json::json!({"ok": false, "problem": unproved.problem, "message": unproved.message});
    match write_out(None, format!("{answer}\n").as_bytes()) {
        Ok(()) => Failure::No(None),
        Err(failure) => failure,
    }
}
