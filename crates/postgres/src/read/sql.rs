//! A statement as it is put together: its text, and the values that its numbered parameters stand for. No value is ever
//! part of the text.

use tokio_postgres::types::{ToSql, Type};
use trailseal_event::Timestamp;

use crate::binary_time::Moment;

/// A statement in the making.
#[derive(Debug, Default)]
pub(super) struct Sql {
    text: String,
    values: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Texts(Vec<String>),
    Number(i64),
    Numbers(Vec<i64>),
    Moment(Moment),
}

impl Sql {
    /// Adds text of the statement itself.
    pub(super) fn push(&mut self, text: &str) -> &mut Sql {
        self.text.push_str(text);
        self
    }

    /// Adds a number of the statement's own, such as a limit, which the server plans by.
    pub(super) fn literal(&mut self, number: i64) -> &mut Sql {
        self.text.push_str(&number.to_string());
        self
    }

    /// Adds a parameter.
    pub(super) fn text(&mut self, value: &str) -> &mut Sql {
        self.value(Value::Text(value.to_owned()))
    }

    pub(super) fn texts(&mut self, values: &[String]) -> &mut Sql {
        self.value(Value::Texts(values.to_vec()))
    }

    pub(super) fn number(&mut self, value: i64) -> &mut Sql {
        self.value(Value::Number(value))
    }

    pub(super) fn numbers(&mut self, values: &[i64]) -> &mut Sql {
        self.value(Value::Numbers(values.to_vec()))
    }

    pub(super) fn moment(&mut self, value: Timestamp) -> &mut Sql {
        self.value(Value::Moment(Moment::of(value)))
    }

    fn value(&mut self, value: Value) -> &mut Sql {
        // The same value is the same parameter, so that a statement's text tells what it has in common.
        let known = self.values.iter().position(|other| *other == value);
        let at = known.unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        });
        self.text.push('$');
        self.text.push_str(&(at + 1).to_string());
        self
    }

    /// The text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The values with their types, in the order of their numbers.
    pub(super) fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values.iter().map(Value::typed).collect()
    }
}

impl Value {
    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Value::Text(text) => (text, Type::TEXT),
            Value::Texts(texts) => (texts, Type::TEXT_ARRAY),
            Value::Number(number) => (number, Type::INT8),
            Value::Numbers(numbers) => (numbers, Type::INT8_ARRAY),
            Value::Moment(moment) => (moment, Type::TIMESTAMPTZ),
        }
    }
}

#[cfg(test)]
impl Sql {
    /// The statement with its values in their places, for tests.
    pub(super) fn shown(&self) -> String {
        let mut text = self.text.clone();
        for (at, value) in self.values.iter().enumerate().rev() {
            let value = match value {
                Value::Text(text) => format!("'{text}'"),
                Value::Texts(texts) => format!("{texts:?}").replace('"', "'"),
                Value::Number(number) => number.to_string(),
                Value::Numbers(numbers) => format!("{numbers:?}"),
                Value::Moment(moment) => format!("<{}>", moment.time()),
            };
            text = text.replace(&format!("${}", at + 1), &value);
        }
        text
    }
}
