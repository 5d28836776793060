//! JSON as Python's `json.dumps` writes it, with sorted keys and no blanks.

use std::fmt::Write as _;

use trailseal_event::{Number, Object, Value};

/// What a database may have made of the values since, so that they must be written otherwise to be as they were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Was {
    /// Keys that are whole numbers were such, and sorted as such.
    pub(crate) whole_keys: bool,
    /// Whole numbers from 1e16 on were binary fractions: JSONB writes 1e16 as 10000000000000000.
    pub(crate) big_fractions: bool,
}

impl Was {
    pub(crate) const ALL: [Was; 4] = [
        Was { whole_keys: false, big_fractions: false },
        Was { whole_keys: true, big_fractions: false },
        Was { whole_keys: false, big_fractions: true },
        Was { whole_keys: true, big_fractions: true },
    ];
}

/// The text of a value.
pub(crate) fn dumps(value: &Value, was: Was) -> String {
    let mut out = String::new();
    write(&mut out, value, was);
    out
}

fn write(out: &mut String, value: &Value, was: Was) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number_text(number, was)),
        Value::String(text) => string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(out, item, was);
            }
            out.push(']');
        }
        Value::Object(object) => write_object(out, object, was),
    }
}

fn write_object(out: &mut String, object: &Object, was: Was) {
    let mut members: Vec<(&str, &Value)> = object.iter().collect();
    let whole: Option<Vec<i64>> = members.iter().map(|(key, _)| whole(key)).collect();
    match whole.filter(|_| was.whole_keys) {
        Some(_) => members.sort_by_key(|(key, _)| whole_of(key)),
        // By code points, which is the order of the bytes of UTF-8.
        None => members.sort_by_key(|(key, _)| *key),
    }
    out.push('{');
    for (at, (key, value)) in members.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        string(out, key);
        out.push(':');
        write(out, value, was);
    }
    out.push('}');
}

fn whole(key: &str) -> Option<i64> {
    key.parse::<i64>().ok().filter(|number| number.to_string() == key)
}

fn whole_of(key: &str) -> i64 {
    whole(key).unwrap_or_default()
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='\u{7f}' => out.push(letter),
            _ => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    // Writing to a text cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

fn number_text(number: &Number, was: Was) -> String {
    let text = number.to_string();
    let is_whole = !text.contains(['.', 'e', 'E']);
    let nearest = number.as_f64();
    // Only where it is exactly that fraction: otherwise it was none.
    let was_fraction = || was.big_fractions && nearest.abs() >= 1e16 && format!("{nearest:.0}") == text;
    if is_whole && !was_fraction() {
        return text;
    }
    fraction(nearest)
}

/// A binary fraction as Python's `repr` writes it: the shortest text that gives it back, with an exponent below 1e-4 and from
/// 1e16 on.
pub(crate) fn fraction(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{number}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_python_writes() {
        let check = |json: &str, was: Was, expected: &str| {
            assert_eq!(dumps(&Value::parse(json.as_bytes()).expect("JSON"), was), expected);
        };
        check(
            r#"{"b": [1, 2.50, null, true], "a": "é\n\u007f😀\"", "B": {}}"#,
            Was::default(),
            "{\"B\":{},\"a\":\"\\u00e9\\n\u{7f}\\ud83d\\ude00\\\"\",\"b\":[1,2.5,null,true]}",
        );
        check(r#"{"10": 1, "2": 2}"#, Was::default(), r#"{"10":1,"2":2}"#);
        check(r#"{"10": 1, "2": 2}"#, Was { whole_keys: true, big_fractions: false }, r#"{"2":2,"10":1}"#);
        check("10000000000000000", Was::default(), "10000000000000000");
        check("10000000000000000", Was { whole_keys: false, big_fractions: true }, "1e+16");
        for (number, expected) in [
            (0.1, "0.1"),
            (1.0, "1.0"),
            (0.0, "0.0"),
            (1e15, "1000000000000000.0"),
            (1.5e16, "1.5e+16"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1.25e-7, "-1.25e-07"),
        ] {
            assert_eq!(fraction(number), expected);
        }
    }
}
