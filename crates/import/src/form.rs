//! How one record is written, and what it says as JSON.
//!
//! What must hold: whatever the bytes, there is an object with all that they say, or a reason. Every text stays as it
//! is: nothing but JSON has numbers.

mod auditd;
mod cef;
mod csv;
mod logfmt;
mod syslog;

use std::fmt;
use std::sync::Arc;

use regex_lite::Regex;
use trailseal_event::{DEPTH_MAX, Object, Value};

pub use csv::Columns;

/// A record is at `details.record`. Deeper ones would be another event once a server has parsed them.
pub(crate) const RECORD_LEVELS_MAX: usize = DEPTH_MAX - 2;

/// How records are written.
#[derive(Clone, Debug)]
pub enum Form {
    /// A JSON object.
    Json,
    /// A row of comma-separated values.
    Csv(Columns),
    /// `key=value key="a value"`.
    Logfmt,
    /// A syslog line, of RFC 5424 or 3164.
    Syslog,
    /// The Common Event Format, also behind a syslog header.
    Cef,
    /// The lines of one event of the Linux audit daemon.
    Auditd,
    /// A line that an expression of the mapping takes apart.
    Text(Arc<Regex>),
}

impl PartialEq for Form {
    fn eq(&self, other: &Form) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Json => out.write_str("JSON"),
            Form::Csv(columns) => write!(out, "CSV with {} columns", columns.len()),
            Form::Logfmt => out.write_str("logfmt"),
            Form::Syslog => out.write_str("syslog"),
            Form::Cef => out.write_str("CEF"),
            Form::Auditd => out.write_str("the Linux audit daemon's log"),
            Form::Text(_) => out.write_str("text that the mapping takes apart"),
        }
    }
}

impl Form {
    /// What a line looks like, if like anything but JSON.
    pub(crate) fn of_line(line: &[u8]) -> Option<Form> {
        let text = std::str::from_utf8(line).ok()?;
        if auditd::key(text).is_some() {
            Some(Form::Auditd)
        } else if cef::start(text).is_some() {
            Some(Form::Cef)
        } else if syslog::split(text).is_some() {
            Some(Form::Syslog)
        } else if logfmt::is_one(text) {
            Some(Form::Logfmt)
        } else {
            None
        }
    }

    /// Whether the record goes on in the next line.
    pub(crate) fn goes_on(&self, record: &[u8], next: &[u8]) -> bool {
        match self {
            Form::Csv(columns) => columns.is_open(record),
            Form::Auditd => auditd::is_same(record, next),
            _ => false,
        }
    }

    /// Whether the record is not complete without the next line.
    pub(crate) fn is_open(&self, record: &[u8]) -> bool {
        matches!(self, Form::Csv(columns) if columns.is_open(record))
    }

    /// Whether a record may take several lines.
    pub(crate) fn has_lines(&self) -> bool {
        matches!(self, Form::Csv(_) | Form::Auditd)
    }

    /// What the record says, and the bytes that tell it from others. The error is for people.
    pub(crate) fn value(&self, bytes: &[u8]) -> Result<Value, String> {
        // A file of lines may have JSON among them.
        if matches!(self, Form::Json) || bytes.first() == Some(&b'{') {
            return json(bytes);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            format!("not UTF-8 at byte {}: convert the text to UTF-8 first", error.valid_up_to())
        })?;
        let object = match self {
            Form::Csv(columns) => columns.row(bytes)?,
            Form::Logfmt => logfmt::read(text).ok_or("not logfmt: no pairs such as key=value")?,
            Form::Syslog => syslog(text).ok_or("not a syslog line")?,
            Form::Cef => cef::read(text).ok_or("not a CEF line")?,
            Form::Auditd => auditd::read(text).ok_or("not a line of the audit daemon")?,
            Form::Text(expression) => {
                groups(expression, text).ok_or("it does not match `line` of the mapping")?
            }
            Form::Json => Object::default(),
        };
        Ok(Value::Object(object))
    }

    /// Whether the record, as JSON, loses something of how it was written.
    pub(crate) fn is_text(&self) -> bool {
        !matches!(self, Form::Json | Form::Csv(_))
    }
}

fn json(bytes: &[u8]) -> Result<Value, String> {
    let value = Value::parse_within(bytes, RECORD_LEVELS_MAX)
        .map_err(|error| format!("not a JSON object: {error}"))?;
    match value.as_object() {
        Some(_) => Ok(value),
        None => Err(format!("not a JSON object but {}", value.kind())),
    }
}

/// What the named groups of `expression` match.
fn groups(expression: &Regex, text: &str) -> Option<Object> {
    let found = expression.captures(text)?;
    let mut object = Object::default();
    for name in expression.capture_names().flatten() {
        if let Some(part) = found.name(name) {
            object.insert(name, part.as_str());
        }
    }
    Some(object)
}

/// A syslog line: its header, and its message or what a message in JSON or CEF says.
fn syslog(text: &str) -> Option<Object> {
    let (mut header, message) = syslog::split(text)?;
    let trimmed = message.trim_start();
    let trimmed = trimmed.strip_prefix("@cee:").unwrap_or(trimmed).trim();
    let inner = match trimmed.starts_with('{') {
        true => json(trimmed.as_bytes()).ok(),
        false => {
            cef::start(trimmed).filter(|&at| at == 0).and_then(|_| cef::read(trimmed)).map(Value::Object)
        }
    };
    if let Some(Value::Object(mut inner)) = inner {
        inner.insert("syslog", Value::Object(header));
        return Some(inner);
    }
    header.insert("message", message);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_json_or_cef_is_the_record() {
        let check = |line: &str, expected: &str| {
            let value = Form::Syslog.value(line.as_bytes()).expect("a syslog line");
            assert_eq!(value.to_string(), expected);
        };
        check(
            "<13>Oct 11 22:14:15 h app: {\"action\":\"x\",\"n\":1}",
            r#"{"action":"x","n":1,"syslog":{"facility":"user","severity":"notice","time":"Oct 11 22:14:15","host":"h","app":"app"}}"#,
        );
        check(
            "Oct 11 22:14:15 h app: {broken",
            r#"{"time":"Oct 11 22:14:15","host":"h","app":"app","message":"{broken"}"#,
        );
    }
}
