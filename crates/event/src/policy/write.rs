//! A policy as TOML.

use std::fmt::Write as _;

use super::{Mode, Policy, Treatment, When};

impl Policy {
    /// As TOML, which [`from_toml`](Policy::from_toml) parses back to the same policy.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        write_treatment(&self.otherwise, &mut text);
        for rule in &self.rules {
            text.push_str("\n[[rule]]\n");
            let _ = writeln!(text, "{}", rule.when.to_toml());
            write_treatment(&rule.then, &mut text);
            if let Some(reason) = &rule.review {
                let _ = writeln!(text, "review = {}", quoted(reason));
            }
        }
        for rule in &self.personal {
            let fields: Vec<String> = rule.fields.iter().map(|field| quoted(field)).collect();
            let _ = writeln!(text, "\n[[personal]]\nfields = [{}]", fields.join(", "));
            let _ = writeln!(text, "subject = {}", quoted(&rule.subject));
            if rule.searchable {
                text.push_str("searchable = true\n");
            }
        }
        text
    }
}

fn write_treatment(then: &Treatment, text: &mut String) {
    let usual = Treatment::default();
    // Writing to a string does not fail.
    let _ = writeln!(text, "mode = \"{}\"", then.mode.name());
    if then.mode == Mode::Sampled {
        let _ = writeln!(text, "rate = {:?}", then.rate);
    }
    if then.timeout != usual.timeout {
        let _ = writeln!(text, "timeout_ms = {}", then.timeout.as_millis());
    }
    if then.on_failure != usual.on_failure {
        let _ = writeln!(text, "on_failure = \"{}\"", then.on_failure.name());
    }
    if then.mode == Mode::Sync && then.acknowledge != usual.acknowledge {
        let _ = writeln!(text, "acknowledge = \"{}\"", then.acknowledge.name());
    }
}

impl When {
    /// As TOML, such as `when = { action = ["user.*"] }`.
    pub(super) fn to_toml(&self) -> String {
        let lists: [(&str, Vec<String>); 6] = [
            ("category", self.category.iter().map(|category| category.name().into_owned()).collect()),
            ("action", self.action.clone()),
            ("tenant", self.tenant.clone()),
            ("actor", self.actor.clone()),
            ("severity", self.severity.iter().map(|severity| severity.name().to_owned()).collect()),
            ("outcome", self.outcome.iter().map(|outcome| outcome.name().to_owned()).collect()),
        ];
        let parts: Vec<String> = lists
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| {
                let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                format!("{name} = [{}]", values.join(", "))
            })
            .collect();
        match parts.is_empty() {
            true => "when = {}".to_owned(),
            false => format!("when = {{ {} }}", parts.join(", ")),
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
