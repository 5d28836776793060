//! What a value must look like for a rule to hold.

use std::cmp::Ordering;

/// A condition on one value, compared case-insensitively.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pattern {
    /// Lower-case text in which `*` stands for any characters.
    Glob(String),
    /// A number between the two, inclusive.
    Range(f64, f64),
    /// A number below (less) or above (greater) this one; equal ones too, if the flag says so.
    Compared(Ordering, bool, f64),
    /// There is no value, or an empty one.
    Absent,
    /// The other condition does not hold.
    Not(Box<Pattern>),
}

impl Pattern {
    /// Parses a pattern: text with `*`, `LOW..HIGH`, `LOW-HIGH`, `>=N`, nothing for "absent", and `!` in front for
    /// "not".
    pub(super) fn parse(text: &str) -> Result<Pattern, String> {
        if let Some(inner) = text.strip_prefix('!') {
            if inner.starts_with('!') {
                return Err(format!("`{text}` negates twice: leave both `!` out"));
            }
            return Ok(Pattern::Not(Box::new(Pattern::parse(inner)?)));
        }
        if text.is_empty() {
            return Ok(Pattern::Absent);
        }
        if let Some((low, high)) = text.split_once("..")
            && let (Ok(low), Ok(high)) = (low.parse::<f64>(), high.parse::<f64>())
        {
            return if low <= high {
                Ok(Pattern::Range(low, high))
            } else {
                Err(format!("`{text}` matches no number: write the lower one first"))
            };
        }
        for (sign, ordering, equal) in [
            (">=", Ordering::Greater, true),
            ("<=", Ordering::Less, true),
            (">", Ordering::Greater, false),
            ("<", Ordering::Less, false),
        ] {
            if let Some(number) = text.strip_prefix(sign) {
                return match number.trim().parse::<f64>() {
                    Ok(number) if number.is_finite() => Ok(Pattern::Compared(ordering, equal, number)),
                    _ => Err(format!("`{text}` compares with no number: write one, such as {sign}400")),
                };
            }
        }
        if let Some(plain) = text.strip_prefix('=') {
            return Err(format!("`{text}` can never match: a pattern is the text itself, write {plain}"));
        }
        // Two numbers in order; anything else, such as a date, is text.
        if let Some((low, high)) = text.split_once('-')
            && let (Ok(low), Ok(high)) = (low.parse::<f64>(), high.parse::<f64>())
            && low < high
        {
            return Ok(Pattern::Range(low, high));
        }
        Ok(Pattern::Glob(text.to_lowercase()))
    }

    /// Whether the pattern could match one of a few words; a text with a colon could be one of its own.
    pub(super) fn can_be_one_of(&self, words: &str) -> bool {
        match self {
            Pattern::Glob(glob) => {
                glob.contains(':') || words.split(", ").any(|word| glob_matches(glob, word))
            }
            Pattern::Range(..) | Pattern::Compared(..) => false,
            Pattern::Absent | Pattern::Not(_) => true,
        }
    }

    pub(super) fn matches(&self, value: Option<&str>) -> bool {
        match self {
            Pattern::Glob(glob) => value.is_some_and(|value| match value.is_ascii() {
                _ if begins_otherwise(glob, value) => false,
                true => glob_matches(glob, value),
                false => glob_matches(glob, &value.to_lowercase()),
            }),
            Pattern::Range(low, high) => value
                .and_then(|value| value.trim().parse::<f64>().ok())
                .is_some_and(|number| (*low..=*high).contains(&number)),
            Pattern::Compared(ordering, equal, bound) => {
                let number = value.and_then(|value| value.trim().parse::<f64>().ok());
                let found = number.and_then(|number| number.partial_cmp(bound));
                found.is_some_and(|found| found == *ordering || (*equal && found == Ordering::Equal))
            }
            Pattern::Absent => value.is_none_or(str::is_empty),
            Pattern::Not(inner) => !inner.matches(value),
        }
    }
}

/// Whether the first character already decides that a text does not match; most texts end here.
fn begins_otherwise(glob: &str, text: &str) -> bool {
    match (glob.as_bytes().first(), text.as_bytes().first()) {
        (Some(wanted), Some(first)) => {
            *wanted != b'*' && first.is_ascii() && *wanted != first.to_ascii_lowercase()
        }
        _ => false,
    }
}

/// Whether all of `text` matches `glob`, which is in lower case, as ASCII letters in `text` need not be; in linear space and at most quadratic time.
fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut glob_at, mut text_at) = (0, 0);
    // After the last `*`, and where in the text the search for what follows it is.
    let mut retry: Option<(usize, usize)> = None;
    while text_at < text.len() {
        match glob.get(glob_at) {
            Some(b'*') => {
                glob_at += 1;
                retry = Some((glob_at, text_at));
            }
            Some(byte) if *byte == text[text_at].to_ascii_lowercase() => {
                (glob_at, text_at) = (glob_at + 1, text_at + 1)
            }
            _ => {
                let Some((behind_star, from)) = retry else { return false };
                retry = Some((behind_star, from + 1));
                (glob_at, text_at) = (behind_star, from + 1);
            }
        }
    }
    glob[glob_at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, value: Option<&str>, expected: bool) {
        let parsed = Pattern::parse(pattern).expect("a good pattern");
        assert_eq!(parsed.matches(value), expected, "{pattern} on {value:?}");
    }

    #[test]
    fn patterns() {
        check("ConsoleLogin", Some("consolelogin"), true);
        check("ConsoleLogin", Some("ConsoleLogins"), false);
        check("ConsoleLogin", Some("XonsoleLogin"), false);
        check("Größe*", Some("GRÖSSE"), false);
        check("Größe*", Some("GRÖßEN"), true);
        check("k*", Some("\u{212a}elvin"), true);
        check("Get*", Some("GetObject"), true);
        check("*.create", Some("pods.exec.create"), true);
        check("a*b*c", Some("aXbXbc"), true);
        check("a*b*c", Some("aXbXb"), false);
        check("*", Some("x"), true);
        check("*", None, false);
        check("200..299", Some("204"), true);
        check("200..299", Some("300"), false);
        check("200..299", Some("x"), false);
        check("-1..0.5", Some("0.5"), true);
        check("", None, true);
        check("", Some("x"), false);
        check("!*", None, true);
        check("!a*", Some("b"), true);
        check("!a*", Some("ab"), false);
        check("!200..299", None, true);
        check("a..b", Some("a..b"), true);
        check("400-599", Some("503"), true);
        check("400-599", Some("600"), false);
        check("2024-01", Some("2024-01"), true);
        check(">=400", Some("400"), true);
        check(">400", Some("400"), false);
        check("<400", Some("399.5"), true);
        check("<=400", Some("x"), false);
        check("!>=400", Some("399"), true);
    }

    #[test]
    fn bad_patterns() {
        assert!(Pattern::parse("299..200").is_err());
        for bad in ["!!a", "=ok", ">=x", "<"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
