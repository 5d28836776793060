//! The settings `[retention]`.

use std::time::Duration;

use trailseal_core::RetentionRule;
use trailseal_event::Category;
use trailseal_server::RetentionConfig;

use super::given::Settings;
use crate::failure::{Failure, Outcome};

impl Settings {
    /// What the server retires each day, and where it goes first.
    pub(super) fn retention(&self) -> Outcome<RetentionConfig> {
        let mut retention = RetentionConfig::default();
        retention.at = self.parsed("retention.at", a_time_of_day)?;
        retention.archive = self.retention_archive().map(str::to_owned);
        retention.rules.clone_from(&self.retention_rules);
        if retention.at.is_some() && retention.rules.is_empty() {
            return Err(Failure::could_not(
                "retention.at needs a [[retention.rule]] that says what is retired then, such as older_than = \"90d\"",
            ));
        }
        if let (Some(place), Some(rule)) = (&retention.archive, retention.rules.first()) {
            // Else the server would find out at night.
            trailseal_export::archive(place, rule)
                .map_err(|error| Failure::could_not(format!("retention.archive: {error}")))?;
        }
        Ok(retention)
    }

    /// Where lines go before they are retired.
    pub(crate) fn retention_archive(&self) -> Option<&str> {
        self.given
            .get("retention.archive")
            .map(|given| given.value.as_str())
            .filter(|place| !place.is_empty())
    }
}

/// `03:00`, or `03:00:30`, since midnight.
fn a_time_of_day(text: &str) -> Option<Duration> {
    let mut parts = text.split(':').map(|part| {
        part.parse::<u64>().ok().filter(|_| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    let is_time = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    is_time.then(|| Duration::from_secs(hour * 3_600 + minute * 60 + second))
}

/// A rule as it is filled in from its table.
#[derive(Default)]
pub(super) struct RuleBeingRead {
    older_than: Option<u32>,
    tenant: Option<String>,
    category: Vec<Category>,
}

impl RuleBeingRead {
    /// Takes a text of the table; what is wrong with it otherwise.
    pub(super) fn take(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "older_than" => {
                self.older_than = Some(crate::arguments::days(text)?);
            }
            "tenant" if !text.is_empty() => self.tenant = Some(text.to_owned()),
            "category" => {
                let category = Category::parse(text);
                self.category.push(category.ok_or_else(|| format!("there is no category {text:?}"))?);
            }
            "tenant" => return Err("a tenant cannot be empty".into()),
            _ => return Err("use older_than, tenant and category".into()),
        }
        Ok(())
    }

    pub(super) fn end(self) -> Result<RetentionRule, String> {
        let days = self.older_than.ok_or("older_than is missing: use days, such as 90d")?;
        let mut rule = RetentionRule::older_than_days(days);
        (rule.tenant, rule.category) = (self.tenant, self.category);
        Ok(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        assert_eq!(a_time_of_day("03:00"), Some(Duration::from_secs(3 * 3_600)));
        assert_eq!(a_time_of_day("23:59:59"), Some(Duration::from_secs(86_399)));
        for text in ["", "3:00", "24:00", "03:60", "03:00:00:00", "03", "+3:00", "03:0x"] {
            assert_eq!(a_time_of_day(text), None, "{text}");
        }
    }
}
