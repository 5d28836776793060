//! A policy as TOML.

use std::fmt::Write as _;

use super::{Mode, Policy, Treatment, When};

impl Policy {
    /// As TOML, which [`from_toml`](Policy::from_toml) reads back to the same policy.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        write_treatment(&self.otherwise, &mut text);
        for rule in &self.rules {
            text.push_str("\n[[rule]]\n");
            write_when(&rule.when, &mut text);
            write_treatment(&rule.then, &mut text);
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

fn write_when(when: &When, text: &mut String) {
    let lists: [(&str, Vec<String>); 6] = [
        ("category", when.category.iter().map(|category| category.name().into_owned()).collect()),
        ("action", when.action.clone()),
        ("tenant", when.tenant.clone()),
        ("actor", when.actor.clone()),
        ("severity", when.severity.iter().map(|severity| severity.name().to_owned()).collect()),
        ("outcome", when.outcome.iter().map(|outcome| outcome.name().to_owned()).collect()),
    ];
    let quoted = |value: &String| toml::Value::String(value.clone()).to_string();
    let parts: Vec<String> = lists
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| {
            format!("{name} = [{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", "))
        })
        .collect();
    let _ = match parts.is_empty() {
        true => writeln!(text, "when = {{}}"),
        false => writeln!(text, "when = {{ {} }}", parts.join(", ")),
    };
}
