//! A condition on the columns of a row, how few rows fulfil it, and its SQL.

use super::sql::Sql;
use crate::columns::TEXT_BYTES_MAX;

/// What stands for NUL in columns, and for half a surrogate pair in lines.
pub(super) const REPLACED: char = '\u{fffd}';

/// More values of one field than this are looked up together, without the index's order.
const APART_MAX: usize = 8;

/// The column that tells whether a line can be read at all.
pub(super) const ACTION: &str = "action";

/// Columns with an index that keeps the rows of each value in the order of their times.
const IN_ORDER: [&str; 4] = ["tenant", "actor_id", "resource_id", ACTION];

/// A condition on one row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    /// The column has one of the texts.
    Text { column: &'static str, values: Vec<String> },
    /// The column has another text, or none.
    OtherText { column: &'static str, values: Vec<String> },
    /// The column has a text that is not empty.
    NotEmpty(&'static str),
    /// The column has none.
    Absent(&'static str),
    /// The text begins so.
    Prefix { column: &'static str, prefix: String },
    /// The text matches the pattern of `LIKE`, or was cut.
    Like { column: &'static str, pattern: String },
    /// The text was cut, or a character of it was replaced.
    Altered(&'static str),
    /// The type contains a slash; said so, because an index is only of such rows.
    SlashedType,
    /// One of the related resources is called so.
    Related(Vec<String>),
    /// One of these positions.
    Indexes(Vec<i64>),
    /// Not made by the trail itself.
    NotSystem,
    /// All of these.
    Both(Vec<Condition>),
    /// Any of these.
    Either(Vec<Condition>),
}

impl Condition {
    /// How few rows fulfil it, the fewest first; `None` if no index has them.
    pub(super) fn rank(&self) -> Option<u8> {
        match self {
            Condition::Indexes(_) => Some(0),
            Condition::Text { column, .. } => match *column {
                "id" => Some(0),
                "request_id" => Some(1),
                "correlation_id" => Some(2),
                "resource_id" => Some(3),
                "actor_id" => Some(4),
                ACTION => Some(5),
                "tenant" => Some(6),
                _ => None,
            },
            // Its first is what it is known by. Where globs are asked for too, all must be walked through anyway.
            Condition::Either(some) | Condition::Both(some) => {
                some.first().and_then(Condition::rank).filter(|rank| *rank < 5)
            }
            _ => None,
        }
    }

    pub(super) fn is_of_few(&self) -> bool {
        match self {
            Condition::Indexes(_) => true,
            Condition::Text { column, .. } => ["id", "request_id", "correlation_id"].contains(column),
            Condition::Either(some) => some.iter().all(Condition::is_of_few),
            Condition::Both(some) => some.iter().any(Condition::is_of_few),
            _ => false,
        }
    }

    /// Whether an index serves it beside another condition.
    pub(super) fn is_one_tenant(&self) -> bool {
        matches!(self, Condition::Text { column: "tenant", values } if values.len() == 1)
    }

    pub(super) fn has_indexes(&self) -> bool {
        match self {
            Condition::Indexes(_) => true,
            Condition::Either(some) => some.iter().any(Condition::has_indexes),
            _ => false,
        }
    }

    pub(super) fn of_origins(&mut self, origins: &[String]) {
        match self {
            Condition::Indexes(indexes) => {
                let of_origins = Condition::Text { column: "origin", values: origins.to_vec() };
                *self = Condition::Both(vec![of_origins, Condition::Indexes(std::mem::take(indexes))]);
            }
            Condition::Either(some) => some.iter_mut().for_each(|condition| condition.of_origins(origins)),
            _ => {}
        }
    }

    /// Each value by itself where an index keeps its rows in order; the rest, which is seldom, together.
    pub(super) fn apart(self) -> Vec<Condition> {
        let all = match self {
            Condition::Either(some) => some,
            one => vec![one],
        };
        let (ordered, rest): (Vec<Condition>, Vec<Condition>) =
            all.into_iter().partition(|condition| condition.values_in_order().is_some());
        let values: usize = ordered.iter().map(Condition::values).sum();
        if values > APART_MAX {
            return any_of(ordered.into_iter().chain(rest).collect()).into_iter().collect();
        }
        let mut apart: Vec<Condition> = ordered.into_iter().flat_map(Condition::each_value).collect();
        apart.extend(any_of(rest));
        apart
    }

    /// Whether an index has its rows in the order of their times.
    pub(super) fn comes_in_order(&self) -> bool {
        self.values_in_order().is_some_and(|values| values.len() == 1)
    }

    /// The values that it is looked up by, if an index keeps the rows of each in order.
    fn values_in_order(&self) -> Option<&[String]> {
        let first = if let Condition::Both(some) = self { some.first()? } else { self };
        match first {
            Condition::Text { column, values } if IN_ORDER.contains(column) => Some(values),
            _ => None,
        }
    }

    fn values(&self) -> usize {
        if let Condition::Text { values, .. } = self { values.len() } else { 1 }
    }

    fn each_value(self) -> Vec<Condition> {
        match self {
            Condition::Text { column, values } => {
                values.into_iter().map(|value| Condition::Text { column, values: vec![value] }).collect()
            }
            other => vec![other],
        }
    }

    /// Adds it to a statement.
    pub(super) fn write(&self, sql: &mut Sql) {
        match self {
            Condition::Text { column, values } => match values.as_slice() {
                [value] => sql.push(column).push(" = ").text(value),
                _ => sql.push(column).push(" = ANY(").texts(values).push(")"),
            },
            Condition::OtherText { column, values } => {
                sql.push("(").push(column).push(" = ANY(").texts(values).push(")) IS NOT TRUE")
            }
            Condition::NotEmpty(column) => sql.push(column).push(" <> ''"),
            Condition::Absent(column) => sql.push(column).push(" IS NULL"),
            Condition::Prefix { column, prefix } => {
                sql.push(column).push(" >= ").text(prefix);
                match after_prefix(prefix) {
                    Some(end) => sql.push(" AND ").push(column).push(" < ").text(&end),
                    None => sql,
                }
            }
            Condition::Like { column, pattern } => {
                sql.push("(").push(column).push(" LIKE ").text(pattern).push(" OR ");
                cut(column, sql).push(")")
            }
            Condition::Altered(column) => {
                cut(column, sql.push("("));
                sql.push(" OR strpos(").push(column).push(", ").text(&REPLACED.to_string()).push(") > 0)")
            }
            Condition::SlashedType => sql.push("resource_type LIKE '%/%'"),
            Condition::Related(values) => sql.push("related && ").texts(values),
            Condition::Indexes(indexes) => sql.push("idx = ANY(").numbers(indexes).push(")"),
            Condition::NotSystem => sql.push("NOT system"),
            Condition::Both(some) => joined(some, " AND ", sql),
            Condition::Either(some) => joined(some, " OR ", sql),
        };
    }
}

fn joined<'a>(some: &[Condition], between: &str, sql: &'a mut Sql) -> &'a mut Sql {
    sql.push("(");
    for (at, condition) in some.iter().enumerate() {
        if at > 0 {
            sql.push(between);
        }
        condition.write(sql);
    }
    sql.push(")")
}

/// That a text was cut: a character has up to four bytes.
fn cut<'a>(column: &str, sql: &'a mut Sql) -> &'a mut Sql {
    let least = i64::try_from(TEXT_BYTES_MAX - 3).unwrap_or(i64::MAX);
    sql.push("octet_length(").push(column).push(") >= ").number(least)
}

/// Several as one; `None` if there are none.
pub(super) fn any_of(mut some: Vec<Condition>) -> Option<Condition> {
    if some.len() > 1 { Some(Condition::Either(some)) } else { some.pop() }
}

/// The first text, by bytes, after all that begin with `prefix`; `None` if there is none.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}
