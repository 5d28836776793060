//! Settings that a program gives, rather than a file or the environment.

use std::path::Path;

use trailseal_core::Anchor;
use trailseal_event::policy::Policy;

use super::file;
use super::given::{Given, Settings, unknown};
use super::table::{LISTS, SETTINGS};
use crate::failure::{Failure, Outcome};

/// A setting's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A text, a number or a truth value, as text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
}

impl Settings {
    /// Reads a file, if one is named, and the environment, if it is to be read; then takes what is told. A name may
    /// have `_` in place of its dot.
    pub(crate) fn told(
        config: Option<&Path>,
        environment: bool,
        told: &[(String, Told)],
        rules: Option<&str>,
        anchors: Vec<Anchor>,
    ) -> Outcome<Settings> {
        let mut settings = Settings::default();
        settings.common.config = config.map(Path::to_owned);
        if let Some(path) = config {
            file::read(path, &mut settings)?;
        }
        if environment {
            settings.read_environment(std::env::vars_os())?;
        }
        for (name, value) in told {
            settings.take(name, value)?;
        }
        if let Some(rules) = rules {
            settings.rules = Policy::from_rules(rules)
                .map_err(|error| Failure::could_not(format!("rules, as TOML:{error}")))?;
            "rules".clone_into(&mut settings.rules_source);
            settings.personal.extend(
                Policy::personal_rules(rules)
                    .map_err(|error| Failure::could_not(format!("personal, as TOML:{error}")))?,
            );
            "personal".clone_into(&mut settings.personal_source);
        }
        settings.anchors.extend(anchors);
        settings.options()?;
        Ok(settings)
    }

    fn take(&mut self, name: &str, value: &Told) -> Outcome {
        let is_meant =
            |setting: &&super::table::Setting| setting.name == name || setting.name.replace('.', "_") == name;
        let Some(setting) = SETTINGS.iter().find(is_meant) else { return Err(unknown(name, name)) };
        match value {
            Told::Text(text) => self.give(setting.name, text.clone(), name.to_owned()),
            Told::Texts(texts) if LISTS.contains(&setting.name) => {
                let given = |text: &String| Given { value: text.clone(), source: name.to_owned() };
                self.give(setting.name, texts.join(", "), name.to_owned());
                self.lists.insert(setting.name, texts.iter().map(given).collect());
            }
            Told::Texts(_) => return Err(super::given::bad(name, setting, "a list")),
        }
        Ok(())
    }
}
