//! What was given: each setting, and where it came from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use trailseal_core::{Anchor, RetentionRule};
use trailseal_event::personal::PersonalRule;
use trailseal_event::policy::Rule;

use super::table::{LISTS, SETTINGS, Setting};
use crate::arguments::Common;
use crate::failure::{Failure, Outcome};
use crate::stream::Stream;

/// A value and its source.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) value: String,
    pub(super) source: String,
}

/// All settings that were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(super) given: BTreeMap<&'static str, Given>,
    /// The flags given on the command line.
    pub(super) common: Common,
    pub(super) anchors: Vec<Anchor>,
    /// The streams that events are delivered through.
    pub(super) streams: Vec<Stream>,
    /// What the server retires each day.
    pub(super) retention_rules: Vec<RetentionRule>,
    /// The file's rules and their place in it.
    pub(super) rules: Vec<Rule>,
    pub(super) rules_source: String,
    /// What the file says of personal values, and its place in it.
    pub(super) personal: Vec<PersonalRule>,
    pub(super) personal_source: String,
    /// Each string of a list with its place.
    pub(super) lists: BTreeMap<&'static str, Vec<Given>>,
}

impl Settings {
    pub(super) fn give(&mut self, name: &'static str, value: String, source: String) {
        if LISTS.contains(&name) {
            let texts = value.split(',').map(str::trim).filter(|text| !text.is_empty());
            let given = |text: &str| Given { value: text.to_owned(), source: source.clone() };
            self.lists.insert(name, texts.map(given).collect());
        }
        self.given.insert(name, Given { value, source });
    }

    pub(super) fn set<T>(
        &self,
        name: &'static str,
        target: &mut T,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Outcome {
        if let Some(value) = self.parsed(name, parse)? {
            *target = value;
        }
        Ok(())
    }

    pub(super) fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Outcome<Option<T>> {
        let Some(given) = self.given.get(name) else { return Ok(None) };
        match (parse(&given.value), SETTINGS.iter().find(|setting| setting.name == name)) {
            (Some(value), _) => Ok(Some(value)),
            (None, Some(setting)) => Err(bad(&given.source, setting, &given.value)),
            (None, None) => Ok(None),
        }
    }
}

pub(super) fn unknown(source: &str, name: &str) -> Failure {
    let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    let what = match nearest(name, &names) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`trailseal doctor` lists them, and docs/settings.md explains them".to_owned(),
    };
    Failure::could_not(format!("{source}: there is no setting `{name}`: {what}"))
}

/// The setting, or the table of settings, that is written almost like this.
fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    /// More letters that differ are another word.
    const DIFFER_MAX: usize = 2;
    let tables = names.iter().filter_map(|name| name.split_once('.')).map(|(table, _)| table);
    let whole = names.iter().copied().chain(tables).map(|known| (distance(name, known), known));
    // A setting that stands outside its table, or in another one.
    let last = |name: &'a str| name.rsplit('.').next().unwrap_or(name);
    let own = name.rsplit('.').next().unwrap_or(name);
    let elsewhere = names.iter().map(|known| (1 + distance(own, last(known)), *known));
    let (differ, known) = whole.chain(elsewhere).min_by_key(|(differ, _)| *differ)?;
    (differ <= DIFFER_MAX && differ < own.chars().count()).then_some(known)
}

fn distance(one: &str, other: &str) -> usize {
    strsim::damerau_levenshtein(one, other)
}

pub(super) fn bad(source: &str, setting: &Setting, value: &str) -> Failure {
    Failure::could_not(format!("{source}: `{}` cannot be {value:?}: use {}", setting.name, setting.allowed))
}

/// Bytes from `64MiB`, `1GiB`, `512KiB`, `10MB` or plain digits.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let factor = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// A path; an empty one is a mistake.
pub(super) fn a_path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

pub(super) fn milliseconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis)
}
