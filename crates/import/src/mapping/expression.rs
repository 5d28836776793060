//! Regular expressions, of which the simple ones that mappings mostly have need no engine.
//!
//! In: an expression and a text. Out: the first group of the first match, or the whole match. What must hold: a simple one finds
//! what `regex-lite` finds.

use regex_lite::Regex;

/// What finds a part of a text.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    /// `([^/:]+)$`: what follows the last of some characters.
    Last(Vec<u8>),
    /// Literals and `[^:]*` one after the other, from the beginning of the text on.
    Steps(Vec<Step>),
    Any(Regex),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Literal(String),
    /// As many other characters as there are.
    Others {
        than: Vec<u8>,
        /// Whether there may be none.
        or_none: bool,
        /// Whether this is what is wanted.
        is_group: bool,
    },
    /// The end of the text.
    End,
}

impl Expression {
    pub(super) fn parse(text: &str) -> Result<Expression, regex_lite::Error> {
        let expression = Regex::new(text)?;
        Ok(simple(text).unwrap_or(Expression::Any(expression)))
    }

    /// The part that is wanted.
    pub(super) fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Expression::Last(but) => {
                let from = text.bytes().rposition(|byte| but.contains(&byte)).map_or(0, |at| at + 1);
                text.get(from..).filter(|part| !part.is_empty())
            }
            Expression::Steps(steps) => walk(steps, text),
            Expression::Any(expression) => {
                let groups = expression.captures(text)?;
                groups.get(1).or(groups.get(0)).map(|part| part.as_str())
            }
        }
    }
}

/// Nothing is ever tried again: what follows other characters begins with one of those that they are not.
fn walk<'t>(steps: &[Step], text: &'t str) -> Option<&'t str> {
    let (mut rest, mut group) = (text, None);
    for step in steps {
        match step {
            Step::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
            Step::Others { than, or_none, is_group } => {
                let len = rest.bytes().position(|byte| than.contains(&byte)).unwrap_or(rest.len());
                if len == 0 && !or_none {
                    return None;
                }
                let (others, behind) = rest.split_at_checked(len)?;
                if *is_group {
                    group = Some(others);
                }
                rest = behind;
            }
            Step::End if rest.is_empty() => {}
            Step::End => return None,
        }
    }
    group
}

/// The expression, if it is simple: with one group, around one `[^…]+` or `[^…]*`.
fn simple(text: &str) -> Option<Expression> {
    if let Some(set) = text.strip_prefix("([^").and_then(|rest| rest.strip_suffix("]+)$")) {
        return set_of(set).map(Expression::Last);
    }
    let mut rest = text.strip_prefix('^')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, behind) = step(rest)?;
        match (steps.last_mut(), step) {
            (Some(Step::Literal(before)), Step::Literal(more)) => before.push_str(&more),
            (Some(Step::Others { than, .. }), Step::Literal(literal)) => {
                literal.bytes().next().filter(|first| than.contains(first))?;
                steps.push(Step::Literal(literal));
            }
            (Some(Step::Others { .. }), Step::Others { .. }) | (Some(Step::End), _) => return None,
            (_, step) => steps.push(step),
        }
        rest = behind;
    }
    let is_group = |step: &&Step| matches!(step, Step::Others { is_group: true, .. });
    (steps.iter().filter(is_group).count() == 1).then_some(Expression::Steps(steps))
}

/// The first step, and what follows it.
fn step(text: &str) -> Option<(Step, &str)> {
    if text == "$" {
        return Some((Step::End, ""));
    }
    let (inside, is_group) = match text.strip_prefix('(') {
        Some(inside) => (inside, true),
        None => (text, false),
    };
    if let Some(set) = inside.strip_prefix("[^") {
        let (set, behind) = set.split_once(']')?;
        let (or_none, behind) = match behind.strip_prefix('*') {
            Some(behind) => (true, behind),
            None => (false, behind.strip_prefix('+')?),
        };
        let behind = if is_group { behind.strip_prefix(')')? } else { behind };
        // Neither lazy nor possessive.
        let is_plain = !behind.starts_with(['?', '+', '*', '{']);
        return is_plain.then_some((Step::Others { than: set_of(set)?, or_none, is_group }, behind));
    }
    let (literal, behind) = match text.strip_prefix('\\') {
        Some(escaped) => (escaped.chars().next().filter(|char| ".+*?()|[]{}^$/\\".contains(*char))?, escaped),
        None => (text.chars().next().filter(|char| is_literal(*char))?, text),
    };
    let behind = behind.get(1..)?;
    let is_plain = !behind.starts_with(['?', '+', '*', '{', '|']);
    is_plain.then(|| (Step::Literal(literal.to_string()), behind))
}

fn is_literal(char: char) -> bool {
    char.is_ascii_alphanumeric() || " _:/,;=@-".contains(char)
}

/// The characters of a set, none of which has a meaning of its own there.
fn set_of(text: &str) -> Option<Vec<u8>> {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || " _:/,;=@.".contains(char);
    (!text.is_empty() && text.chars().all(is_plain)).then(|| text.bytes().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(expression: &str, text: &str) {
        let regex = Regex::new(expression).expect("good");
        let groups = regex.captures(text);
        let expected = groups.and_then(|groups| Some(groups.get(1).or(groups.get(0))?.as_str()));
        let found = Expression::parse(expression).expect("good").find(text);
        assert_eq!(found, expected, "{expression} in {text:?}");
    }

    #[test]
    fn what_is_simple() {
        let is_simple = |text: &str| !matches!(Expression::parse(text).expect("good"), Expression::Any(_));
        for text in ["^([^.]+)", "([^/:]+)$", "^arn:[^:]*:([^:]+):", "^([^@]*)@x\\.y$", "^x-([^ ]+)$"] {
            assert!(is_simple(text), "{text}");
        }
        for text in [
            "^(.+)$",
            "([^a-z]+)$",
            "^([^:]+)x",
            "^([^:]+)[^/]+",
            "^([^:]+)([^/]+)",
            "^a:[^:]+",
            "^a|([^:]+):",
            "^([^:]+?):",
            "^a*([^:]+):",
            "([^:]+):",
            "^([^:]+:)",
            "^([^\\d]+)",
            "(?i)^a([^:]+)",
            "^a.([^:]+)",
        ] {
            assert!(!is_simple(text), "{text}");
        }
        assert!(Expression::parse("(").is_err());
    }

    proptest! {
        #[test]
        fn simple_expressions_find_what_the_engine_finds(
            steps in prop::collection::vec("[ab:/]|\\\\\\.|\\[\\^[ab:/.]{1,2}\\][+*]|\\(\\[\\^[ab:/.]{1,2}\\][+*]\\)", 0..5),
            start in any::<bool>(), end in any::<bool>(), text in "[ab:/.\n\u{e4}]{0,12}",
        ) {
            let expression =
                format!("{}{}{}", if start { "^" } else { "" }, steps.concat(), if end { "$" } else { "" });
            check(&expression, &text);
        }

        #[test]
        fn the_built_in_ones_do(text in "[a-z:/.@ {}\"-]{0,20}|arn:aws:[a-z0-9]{0,4}:[a-z:/]{0,12}") {
            for expression in ["^([^.]+)", "([^/:]+)$", "^arn:[^:]*:([^:]+):"] {
                check(expression, &text);
            }
        }
    }
}
