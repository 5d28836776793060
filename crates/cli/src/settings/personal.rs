//! The settings `[[personal]]` and `[personal_keys]`: what can be erased, and where its keys are.

use trailseal_core::{MasterKey, PersonalKeysOptions};

use super::given::{Settings, a_path};
use crate::failure::{Failure, Outcome};

impl Settings {
    /// Where the keys of personal values are, and what unwraps them.
    pub(crate) fn personal_keys(&self) -> Outcome<PersonalKeysOptions> {
        let command = |text: &str| (!text.trim().is_empty()).then(|| text.to_owned());
        let key = self.parsed("personal_keys.master_key", a_path)?;
        let command = self.parsed("personal_keys.master_command", command)?;
        let master = match (key, command) {
            (None, None) => None,
            (Some(key), None) => Some(MasterKey::File(key)),
            (None, Some(command)) => Some(MasterKey::Command(command)),
            (Some(_), Some(_)) => {
                let source =
                    self.given.get("personal_keys.master_command").map_or("settings", |given| &given.source);
                return Err(Failure::could_not(format!(
                    "{source}: there are two master keys: set personal_keys.master_key or personal_keys.master_command"
                )));
            }
        };
        Ok(PersonalKeysOptions { file: self.parsed("personal_keys.file", a_path)?, master })
    }
}
