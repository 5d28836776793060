//! budapp's `record_hash`: SHA-256 over fields joined by bars, of two recipes.

use trailseal_event::Value;

use super::python::{self, Was};
use super::report::{HashReport, sha256_hex, text_at};

/// How many records each recipe fits.
#[derive(Debug, Default)]
pub(super) struct Recipes {
    with_name: u64,
    without_name: u64,
}

impl Recipes {
    pub(super) fn look(&mut self, line: u64, record: &Value, report: &mut HashReport) {
        let Some(kept) = text_at(record, "record_hash").filter(|hash| !hash.is_empty()) else {
            report.without += 1;
            return;
        };
        let fits =
            |with_name: bool| candidates(record, with_name).any(|hash| hash.eq_ignore_ascii_case(&kept));
        if fits(true) {
            self.with_name += 1;
        } else if fits(false) {
            self.without_name += 1;
        } else {
            let id = text_at(record, "id").unwrap_or_default();
            report.fail(line, format!("record {id}: its record_hash does not fit it, so it was changed"));
            return;
        }
        report.held += 1;
    }

    pub(super) fn finish(&mut self, report: &mut HashReport) {
        if self.without_name > 0 {
            let (old, new) = (self.without_name, self.with_name);
            report.notes.push(format!(
                "{old} records have a hash of the older recipe, which does not cover resource_name; {new} of the newer"
            ));
        }
    }
}

/// The hashes that the record may have got, by what its application and its database may have made of values.
fn candidates(record: &Value, with_name: bool) -> impl Iterator<Item = String> {
    let ways = Was::ALL.into_iter().flat_map(|was| {
        let zones = ["+00:00", ""].into_iter();
        zones.flat_map(move |zone| [false, true].map(|of_enum| (was, zone, of_enum)))
    });
    ways.map(move |(was, zone, of_enum)| hash(record, with_name, was, zone, of_enum))
}

fn hash(record: &Value, with_name: bool, was: Was, zone: &str, of_enum: bool) -> String {
    let plain = |key: &str| text_at(record, key).unwrap_or_else(|| "null".to_owned());
    let word = |key: &str, kind: &str| match (text_at(record, key), of_enum) {
        (Some(text), true) => format!("{kind}.{}", text.to_ascii_uppercase()),
        (text, _) => text.unwrap_or_else(|| "null".to_owned()),
    };
    let json = |key: &str| match record.get(key) {
        None | Some(Value::Null) => "null".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => python::dumps(value, was),
    };
    let mut parts = vec![
        word("action", "AuditActionEnum"),
        word("resource_type", "AuditResourceTypeEnum"),
        plain("resource_id"),
    ];
    if with_name {
        parts.push(plain("resource_name"));
    }
    parts.push(plain("user_id"));
    parts.push(plain("actioned_by"));
    parts.push(text_at(record, "timestamp").map_or_else(|| "null".to_owned(), |time| iso(&time, zone)));
    parts.push(json("details"));
    parts.push(plain("ip_address"));
    parts.push(json("previous_state"));
    parts.push(json("new_state"));
    sha256_hex(&parts.join("|"))
}

/// As Python's `isoformat` writes it: no fraction if there is none.
fn iso(time: &str, zone: &str) -> String {
    let Some(time) = trailseal_event::Timestamp::parse(time) else { return time.to_owned() };
    let text = time.to_string();
    let text = text.trim_end_matches('Z');
    format!("{}{zone}", text.strip_suffix(".000000").unwrap_or(text))
}
