//! The settings `[mask]`.

use std::path::Path;

use trailseal_event::mask::{MaskKey, MaskOptions, Masker, Preset, ReplaceWith};

use super::given::{Given, Settings};
use crate::failure::{Failure, Outcome};

impl Settings {
    /// What is masked, and how. The key for keyed hashes belongs to the trail and is not set here.
    pub(crate) fn mask_options(&self) -> Outcome<MaskOptions> {
        let mut options = MaskOptions::default();
        self.set("mask.enabled", &mut options.enabled, |value| value.parse().ok())?;
        options.preset = self.parsed("mask.preset", Preset::from_name)?;
        self.set("mask.replace_with", &mut options.replace_with, |value| match value {
            "fixed" => Some(ReplaceWith::Fixed),
            "remove" => Some(ReplaceWith::Remove),
            "last4" => Some(ReplaceWith::Last4),
            "hmac" => Some(ReplaceWith::Hmac),
            _ => None,
        })?;
        options.keys =
            self.list("mask.keys", |key| MaskOptions { keys: vec![key], ..MaskOptions::default() })?;
        options.allow =
            self.list("mask.allow", |path| MaskOptions { allow: vec![path], ..MaskOptions::default() })?;
        options.patterns = self.list("mask.patterns", |pattern| MaskOptions {
            patterns: vec![pattern],
            ..MaskOptions::default()
        })?;
        options.hash =
            self.list("mask.hash", |path| MaskOptions { hash: vec![path], ..MaskOptions::default() })?;
        Ok(options)
    }

    /// A list in which each string by itself must make a valid masker.
    fn list(&self, name: &str, alone: impl Fn(String) -> MaskOptions) -> Outcome<Vec<String>> {
        let texts = self.lists.get(name).map_or(&[][..], Vec::as_slice);
        let check = |Given { value, source }: &Given| match Masker::new(&alone(value.clone())) {
            Ok(_) => Ok(value.clone()),
            Err(error) => {
                let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| {
                    // The error of a regular expression is a drawing; its last line says what is wrong.
                    format!(": {}", cause.to_string().lines().last().unwrap_or_default().trim())
                });
                Err(Failure::could_not(format!("{source}: `{name}`: {error}{cause}")))
            }
        };
        texts.iter().map(check).collect()
    }

    /// A masker that shows what these settings do. Without the trail's key, hashes use a random one.
    pub(crate) fn masker(&self, key: Option<MaskKey>) -> Outcome<Masker> {
        let key = key.map_or_else(MaskKey::random, Ok).map_err(Failure::io("make", Path::new("a key")))?;
        let options = MaskOptions { key: Some(key), ..self.mask_options()? };
        Masker::new(&options).map_err(Failure::could_not)
    }
}
