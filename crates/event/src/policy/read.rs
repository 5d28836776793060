//! Parses a policy from TOML; an error gives line and column.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Acknowledge, Mode, OnFailure, Policy, REVIEW_BYTES_MAX, RULES_MAX, Rule, Treatment, When};
use crate::event::{Category, Outcome, Severity};
use crate::nearest::nearest;
use crate::personal::{PERSONAL_FIELDS_MAX, PersonalRule, USUAL, USUAL_SUBJECT, check_field, check_subject};

/// The policy's settings besides its rules.
const KEYS: [&str; 7] = ["mode", "rate", "timeout_ms", "on_failure", "acknowledge", "rule", "personal"];
const TIMEOUT_MS_MAX: i64 = 3_600_000;

/// Why a text is not a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub what: String,
    of_another_setting: bool,
}

impl PolicyError {
    /// Whether there may be settings besides the policy's own, as in a file with all settings.
    pub fn is_of_another_setting(&self) -> bool {
        self.of_another_setting
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.line, self.column, self.what)
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// Parses a standalone policy.
    ///
    /// ```
    /// use trailseal_event::policy::Policy;
    /// let error = Policy::from_toml("mode = \"fast\"").unwrap_err();
    /// assert_eq!(error.to_string(), "1:8: `mode` cannot be \"fast\": use sync, async, sampled or off");
    /// ```
    ///
    /// # Errors
    /// At the first thing that is invalid.
    pub fn from_toml(text: &str) -> Result<Policy, PolicyError> {
        let reader = Reader { text };
        let table = reader.table()?;
        let (mut policy, mut fields) = (Policy::default(), Fields::default());
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            if name == "rule" {
                policy.rules = reader.rules(value)?;
            } else if name == "personal" {
                policy.personal = reader.personal(value)?;
            } else if !reader.treatment(name, value, &mut fields)? {
                let error = reader.unknown(key.span(), name, &KEYS);
                return Err(PolicyError { of_another_setting: true, ..error });
            }
        }
        policy.otherwise = reader.complete(fields)?;
        Ok(policy)
    }

    /// Parses the rules in a settings file; all other settings in it are ignored.
    ///
    /// # Errors
    /// At the first invalid rule.
    pub fn from_rules(text: &str) -> Result<Vec<Rule>, PolicyError> {
        let reader = Reader { text };
        let table = reader.table()?;
        table.get_ref().get("rule").map_or(Ok(Vec::new()), |rules| reader.rules(rules))
    }

    /// Parses the rules for personal fields in a settings file; all other settings in it are ignored.
    ///
    /// # Errors
    /// At the first invalid one.
    pub fn personal_rules(text: &str) -> Result<Vec<PersonalRule>, PolicyError> {
        let reader = Reader { text };
        let table = reader.table()?;
        table.get_ref().get("personal").map_or(Ok(Vec::new()), |rules| reader.personal(rules))
    }
}

/// A treatment as far as it was given, with the place of its mode.
#[derive(Default)]
struct Fields {
    then: Treatment,
    /// Empty where it was not given.
    mode_at: Range<usize>,
    /// The place of the last setting that only some modes have.
    needs_mode_at: Range<usize>,
    has_rate: bool,
    is_store: bool,
}

struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn table(&self) -> Result<Spanned<DeTable<'a>>, PolicyError> {
        DeTable::parse(self.text).map_err(|error| {
            self.error(error.span().unwrap_or_default(), error.message().replace('\n', ", "))
        })
    }

    fn rules(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Rule>, PolicyError> {
        let DeValue::Array(rules) = value.get_ref() else {
            return Err(self.error(value.span(), "rules are tables: write [[rule]]".into()));
        };
        if rules.len() > RULES_MAX {
            return Err(self.error(value.span(), format!("there are more than {RULES_MAX} rules")));
        }
        rules.iter().map(|rule| self.rule(rule)).collect()
    }

    fn rule(&self, value: &Spanned<DeValue<'_>>) -> Result<Rule, PolicyError> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.error(value.span(), "a rule must be a table: write [[rule]]".into()));
        };
        let (mut when, mut fields) = (None, Fields { mode_at: value.span(), ..Fields::default() });
        let mut review = None;
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if name == "when" {
                when = Some(self.when(value)?);
            } else if name == "review" {
                review = Some((self.reason(value)?, value.span()));
            } else if !self.treatment(name, value, &mut fields)? {
                let keys = ["when", "mode", "rate", "timeout_ms", "on_failure", "acknowledge", "review"];
                return Err(self.unknown(key.span(), &format!("rule.{name}"), &keys));
            }
        }
        let missing =
            || self.error(value.span(), "the rule has no `when`: say which events it matches".into());
        let (when, then) = (when.ok_or_else(missing)?, self.complete(fields)?);
        match review {
            Some((_, at)) if then.mode == Mode::Off => {
                Err(self.error(at, "mode off keeps nothing that could have a `review`".into()))
            }
            review => Ok(Rule { when, then, review: review.map(|(reason, _)| reason) }),
        }
    }

    fn personal(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<PersonalRule>, PolicyError> {
        let DeValue::Array(rules) = value.get_ref() else {
            return Err(self.error(value.span(), "personal fields are in tables: write [[personal]]".into()));
        };
        let rules =
            rules.iter().map(|rule| self.personal_rule(rule)).collect::<Result<Vec<PersonalRule>, _>>()?;
        if rules.iter().map(|rule| rule.fields.len()).sum::<usize>() > PERSONAL_FIELDS_MAX {
            let what =
                format!("there are more than {PERSONAL_FIELDS_MAX} personal fields: use `*` for one key");
            return Err(self.error(value.span(), what));
        }
        Ok(rules)
    }

    fn personal_rule(&self, value: &Spanned<DeValue<'_>>) -> Result<PersonalRule, PolicyError> {
        let DeValue::Table(table) = value.get_ref() else {
            let what = "a rule for personal fields must be a table: write [[personal]]";
            return Err(self.error(value.span(), what.into()));
        };
        let mut rule = PersonalRule { fields: Vec::new(), subject: String::new(), searchable: false };
        let (mut at, mut is_usual) = (Vec::new(), false);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "field" | "fields" => {
                    let fields = self.list(value, "a path such as actor.email", a_text)?;
                    at.extend(fields.iter().map(|_| value.span()));
                    rule.fields.extend(fields);
                }
                "subject" => rule.subject = self.word("subject", value, a_text, "a path such as actor.id")?,
                "searchable" => match value.get_ref() {
                    DeValue::Boolean(searchable) => rule.searchable = *searchable,
                    _ => return Err(self.bad("searchable", value, "true or false")),
                },
                "preset" => {
                    is_usual = true;
                    let usual = |name: &str| (name == "usual").then_some(());
                    self.word("preset", value, usual, "usual")?;
                    at.extend(USUAL.iter().map(|_| value.span()));
                    rule.fields.extend(USUAL.map(str::to_owned));
                }
                name => {
                    let keys = ["field", "fields", "subject", "searchable", "preset"];
                    return Err(self.unknown(key.span(), &format!("personal.{name}"), &keys));
                }
            }
        }
        if is_usual && rule.subject.is_empty() {
            rule.subject = USUAL_SUBJECT.to_owned();
        }
        let missing = match (rule.fields.is_empty(), rule.subject.is_empty()) {
            (true, _) => Some("the rule has no `field`: say which fields are personal, such as actor.email"),
            (_, true) => Some("the rule has no `subject`: say where the person's id is, such as actor.id"),
            _ => None,
        };
        if let Some(what) = missing {
            return Err(self.error(value.span(), what.into()));
        }
        for (field, at) in rule.fields.iter().zip(&at) {
            check_field(field, rule.searchable, &rule.fields)
                .map_err(|bad| self.error(at.clone(), bad.to_string()))?;
        }
        check_subject(&rule.subject, &rule.fields)
            .map_err(|bad| self.error(value.span(), bad.to_string()))?;
        Ok(rule)
    }

    /// Why the events of a rule should be reviewed.
    fn reason(&self, value: &Spanned<DeValue<'_>>) -> Result<String, PolicyError> {
        let reason = match value.get_ref() {
            DeValue::String(text) => Some(text.trim()),
            _ => None,
        };
        let reason = reason.filter(|reason| !reason.is_empty() && reason.len() <= REVIEW_BYTES_MAX);
        let allowed = || format!("a reason of at most {REVIEW_BYTES_MAX} bytes");
        reason.map(str::to_owned).ok_or_else(|| self.bad("review", value, &allowed()))
    }

    fn when(&self, value: &Spanned<DeValue<'_>>) -> Result<When, PolicyError> {
        let DeValue::Table(table) = value.get_ref() else {
            let what = "`when` must be a table, such as { action = \"user.*\" }";
            return Err(self.error(value.span(), what.into()));
        };
        let mut when = When::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "category" => {
                    let allowed = "authentication, authorization, secret_access, config_change, data_access, \
                        data_change, workflow, step, admin or custom:NAME";
                    when.category = self.list(value, allowed, Category::parse)?;
                }
                "action" => when.action = self.list(value, "an action such as user.*", a_text)?,
                "tenant" => when.tenant = self.list(value, "a tenant", a_text)?,
                "actor" => when.actor = self.list(value, "an actor's id", a_text)?,
                "severity" => {
                    let allowed = "debug, info, notice, warning, error or critical";
                    when.severity = self.list(value, allowed, Severity::parse)?;
                }
                "outcome" => {
                    let allowed = "success, failure, denied, partial or unknown";
                    when.outcome = self.list(value, allowed, Outcome::parse)?;
                }
                name => {
                    let keys = ["category", "action", "tenant", "actor", "severity", "outcome"];
                    return Err(self.unknown(key.span(), &format!("when.{name}"), &keys));
                }
            }
        }
        Ok(when)
    }

    /// One value, or a list of them that is not empty.
    fn list<T>(
        &self,
        value: &Spanned<DeValue<'_>>,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, PolicyError> {
        let one = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::String(text) => parse(text).ok_or_else(|| {
                self.error(value.span(), format!("it cannot be {:?}: use {allowed}", text.as_ref()))
            }),
            other => {
                let found = other.type_str();
                Err(self.error(value.span(), format!("it must be a string, not {found}: use {allowed}")))
            }
        };
        match value.get_ref() {
            DeValue::Array(values) if values.is_empty() => {
                Err(self.error(value.span(), "the list is empty: leave it out, or name something".into()))
            }
            DeValue::Array(values) => values.iter().map(one).collect(),
            _ => Ok(vec![one(value)?]),
        }
    }

    /// Parses one setting of a treatment; false if `name` is not one.
    fn treatment(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        fields: &mut Fields,
    ) -> Result<bool, PolicyError> {
        let then = &mut fields.then;
        match name {
            "mode" => {
                then.mode = self.word(name, value, Mode::parse, "sync, async, sampled or off")?;
                fields.mode_at = value.span();
            }
            "on_failure" => then.on_failure = self.word(name, value, OnFailure::parse, "deny or allow")?,
            "acknowledge" => {
                then.acknowledge = self.word(name, value, Acknowledge::parse, "durable or store")?;
                fields.is_store = then.acknowledge == Acknowledge::Store;
                if fields.is_store {
                    fields.needs_mode_at = value.span();
                }
            }
            "rate" => {
                let rate = number(value.get_ref()).filter(|rate| (0.0..=1.0).contains(rate));
                then.rate = rate.ok_or_else(|| self.bad(name, value, "a number from 0 to 1"))?;
                fields.has_rate = true;
                fields.needs_mode_at = value.span();
            }
            "timeout_ms" => {
                let millis = match value.get_ref() {
                    DeValue::Integer(number) => number.to_string().parse().ok(),
                    _ => None,
                };
                let millis = millis.filter(|millis| (0..=TIMEOUT_MS_MAX).contains(millis));
                let millis = millis.ok_or_else(|| self.bad(name, value, "milliseconds, at most an hour"))?;
                then.timeout = Duration::from_millis(millis.unsigned_abs());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn word<T>(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        parse: impl Fn(&str) -> Option<T>,
        allowed: &str,
    ) -> Result<T, PolicyError> {
        let parsed = match value.get_ref() {
            DeValue::String(text) => parse(text),
            _ => None,
        };
        parsed.ok_or_else(|| self.bad(name, value, allowed))
    }

    /// Settings that are only valid together.
    fn complete(&self, fields: Fields) -> Result<Treatment, PolicyError> {
        let Fields { then, mode_at, needs_mode_at, has_rate, is_store } = fields;
        let what = match then.mode {
            Mode::Sampled if !has_rate => "mode sampled needs a `rate`, such as rate = 0.1",
            Mode::Sync | Mode::Async | Mode::Off if has_rate => "a `rate` needs mode = \"sampled\"",
            Mode::Async | Mode::Sampled | Mode::Off if is_store => {
                "acknowledge = \"store\" needs mode = \"sync\": the others do not wait"
            }
            _ => return Ok(then),
        };
        Err(self.error(if mode_at.is_empty() { needs_mode_at } else { mode_at }, what.into()))
    }

    fn bad(&self, name: &str, value: &Spanned<DeValue<'_>>, allowed: &str) -> PolicyError {
        let found = match value.get_ref() {
            DeValue::String(text) => format!("{:?}", text.as_ref()),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            other => format!("of type {}", other.type_str()),
        };
        self.error(value.span(), format!("`{name}` cannot be {found}: use {allowed}"))
    }

    fn unknown(&self, at: Range<usize>, name: &str, keys: &[&str]) -> PolicyError {
        let (table, key) = name.rsplit_once('.').map_or(("", name), |(table, key)| (table, key));
        let dot = if table.is_empty() { "" } else { "." };
        let what = match nearest(key, keys) {
            Some(nearest) => format!("did you mean `{table}{dot}{nearest}`?"),
            None => format!("use one of {}", keys.join(", ")),
        };
        self.error(at, format!("there is no setting `{name}`: {what}"))
    }

    fn error(&self, at: Range<usize>, what: String) -> PolicyError {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        PolicyError {
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            what,
            of_another_setting: false,
        }
    }
}

fn a_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(number) => number.to_string().parse().ok(),
        DeValue::Integer(number) => number.to_string().parse().ok(),
        _ => None,
    }
}
