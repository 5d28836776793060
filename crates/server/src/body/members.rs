//! The members of a body that is a JSON object. What is wrong with one is said in plain words, with its name in `field`.

use serde_json::{Map, Value};

use crate::problem::{Kind, Problem};

/// The members that were not taken yet.
pub(crate) struct Members(Map<String, Value>);

impl Members {
    /// Of a body that has none but these.
    pub(crate) fn of(body: &[u8], names: &[&str]) -> Result<Members, Problem> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Problem::new(Kind::NotJson, format!("the body is not JSON: {error}")))?;
        let Value::Object(members) = value else {
            let detail = format!("the body must be a JSON object, with the members {}", names.join(", "));
            return Err(Problem::unprocessable(detail));
        };
        match members.keys().find(|name| !names.contains(&name.as_str())) {
            None => Ok(Members(members)),
            Some(name) => {
                let detail = format!("there is no member {name:?} here: use {}", names.join(", "));
                Err(Problem::unprocessable(detail).with("field", name.as_str()))
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, Problem> {
        let missing = || Problem::unprocessable(format!("{name} is missing")).with("field", name);
        self.text_if_any(name)?.ok_or_else(missing)
    }

    /// A text; `None` if there is none.
    pub(crate) fn text_if_any(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(must_be(name, "a text")),
        }
    }

    /// The same where null means that there is none.
    pub(crate) fn text_or_null(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        self.drop_null(name);
        self.text_if_any(name)
    }

    /// A number, or null.
    pub(crate) fn number_or_null(&mut self, name: &'static str) -> Result<Option<f64>, Problem> {
        self.drop_null(name);
        let number = self.0.remove(name).map(|value| value.as_f64().ok_or_else(|| must_be(name, "a number")));
        number.transpose()
    }

    /// A whole number as JSON means it, or null: `900.0` is one too.
    pub(crate) fn whole_or_null(&mut self, name: &'static str) -> Result<Option<u64>, Problem> {
        self.drop_null(name);
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        let of_float = |float: f64| (float >= 0.0 && float.fract() == 0.0).then_some(float as u64);
        let whole = value.as_u64().or_else(|| value.as_f64().and_then(of_float));
        whole.map(Some).ok_or_else(|| must_be(name, "a whole number"))
    }

    /// True, or false, or not there, which is false.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(must_be(name, "true or false")),
        }
    }

    /// A list of texts; `None` if there is none.
    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Option<Vec<String>>, Problem> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        let Value::Array(values) = value else { return Err(must_be(name, "a list of texts")) };
        let texts = values.into_iter().map(|value| match value {
            Value::String(text) => Ok(text),
            _ => Err(must_be(name, "a list of texts")),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// An object of which each member is a text, or a list of texts.
    pub(crate) fn texts_by_name(
        &mut self,
        name: &'static str,
    ) -> Result<Vec<(String, Vec<String>)>, Problem> {
        let of_texts = "an object, of which each member is a text or a list of texts";
        let Some(value) = self.0.remove(name) else { return Ok(Vec::new()) };
        let Value::Object(members) = value else { return Err(must_be(name, of_texts)) };
        let mut all = Vec::new();
        for (key, value) in members {
            let values = if let Value::Array(values) = value { values } else { vec![value] };
            let text = |value| if let Value::String(text) = value { Some(text) } else { None };
            let texts: Option<Vec<String>> = values.into_iter().map(text).collect();
            all.push((key, texts.ok_or_else(|| must_be(name, of_texts))?));
        }
        all.sort();
        Ok(all)
    }

    fn drop_null(&mut self, name: &str) {
        if self.0.get(name).is_some_and(Value::is_null) {
            self.0.remove(name);
        }
    }
}

fn must_be(name: &str, what: &str) -> Problem {
    Problem::unprocessable(format!("{name} must be {what}")).with("field", name)
}
