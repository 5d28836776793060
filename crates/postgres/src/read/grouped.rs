//! Statements that count: rows by the values of fields and over time, and the lines that have to be looked at for it.
//!
//! A row is *unsure* if its columns do not tell whether the filter accepts its line, and a value is *untold* if its column
//! does not hold all of it. Both are counted by their lines.

use std::time::Duration;

use trailseal_event::Timestamp;
use trailseal_event::count::{FacetField, HISTOGRAM_BUCKETS_MAX};

use super::condition::{Condition, REPLACED};
use super::narrow::{Doubts, Narrowing};
use super::sql::Sql;
use super::statement::{Wanted, narrowed};

/// The number of the group that tells how many rows there are, and how many of them are unsure.
pub(super) const TOTAL: i64 = -1;
/// What stands for an untold value. No value that a column tells has this character.
pub(super) const UNTOLD: char = REPLACED;
/// 0000-01-01, before which there is no event.
const FIRST_MICROS: i64 = -62_167_219_200_000_000;
/// Bars are counted by PostgreSQL's own function up to this width.
const CENTURY_MICROS: i64 = 3_155_760_000_000_000;

/// What is counted of which rows.
pub(super) struct Grouped<'a> {
    pub(super) narrowing: &'a Narrowing,
    pub(super) fields: &'a [FacetField],
}

impl Grouped<'_> {
    /// Field, value, name and number of rows of each group, in that order; `field` is the place among the fields, or
    /// [`TOTAL`]. With a `part`, in small letters, without values that certainly have it neither in them nor in the name.
    pub(super) fn values(&self, has_total: bool, part: &str) -> Sql {
        let mut sql = Sql::default();
        sql.push("SELECT field, value, name, count FROM (SELECT CASE");
        if has_total {
            sql.push(" WHEN GROUPING(unsure) = 0 THEN ").number(TOTAL);
        }
        self.each_key(&mut sql, |place, key, sql| {
            sql.push(&format!(" WHEN GROUPING({key}) = 0 THEN ")).number(place);
        });
        sql.push(" END AS field, CASE");
        if has_total {
            sql.push(" WHEN GROUPING(unsure) = 0 THEN unsure::text");
        }
        self.each_key(&mut sql, |_, key, sql| {
            sql.push(&format!(" WHEN GROUPING({key}) = 0 THEN {key}"));
        });
        let name = if self.has_names() { "name" } else { "NULL::text" };
        sql.push(" END AS value, ").push(name).push(" AS name, count(*) AS count FROM (SELECT ");
        self.unsure(&mut sql);
        sql.push(" AS unsure");
        for (place, field) in self.fields.iter().enumerate() {
            sql.push(", CASE WHEN ");
            self.unsure(&mut sql);
            untold(*field, sql.push(" OR "));
            sql.push(" THEN ").text(&UNTOLD.to_string()).push(" ELSE ").push(value_of(*field));
            sql.push(&format!(" END AS key{place}"));
        }
        if self.has_names() {
            sql.push(", CASE WHEN actor_id IS NOT NULL AND NOT (");
            self.unsure(&mut sql);
            untold(FacetField::Actor, sql.push(" OR "));
            sql.push(") THEN actor_name END AS name");
        }
        sql.push(" FROM trailseal.events");
        narrowed(self.narrowing, &mut Wanted::new(&mut sql));
        sql.push(") AS rows GROUP BY GROUPING SETS (");
        let mut sets: Vec<String> = has_total.then(|| "(unsure)".to_owned()).into_iter().collect();
        sets.extend(self.fields.iter().enumerate().map(|(place, field)| match field {
            FacetField::Actor => format!("(key{place}, name)"),
            _ => format!("(key{place})"),
        }));
        sql.push(&sets.join(", ")).push(")) AS counted WHERE value IS NOT NULL");
        if !part.is_empty() {
            sql.push(" AND (value = ").text(&UNTOLD.to_string());
            may_contain("value", part, sql.push(" OR "));
            may_contain("name", part, sql.push(" OR "));
            sql.push(")");
        }
        sql.push(" ORDER BY field, value, name");
        sql
    }

    fn each_key(&self, sql: &mut Sql, mut each: impl FnMut(i64, &str, &mut Sql)) {
        for place in 0..self.fields.len() {
            each(place as i64, &format!("key{place}"), sql);
        }
    }

    fn has_names(&self) -> bool {
        self.fields.contains(&FacetField::Actor)
    }

    fn unsure(&self, sql: &mut Sql) {
        let Doubts::Of(doubts) = &self.narrowing.doubts else {
            sql.push("true");
            return;
        };
        sql.push("(false");
        for doubt in doubts {
            doubt.write(sql.push(" OR "));
        }
        sql.push(") IS TRUE");
    }

    /// The lines to be looked at: origin, line, whether the row is unsure, and a bit for each field with an untold value.
    pub(super) fn lines(&self) -> Sql {
        let mut sql = Sql::default();
        sql.push("SELECT origin, line, ");
        self.unsure(&mut sql);
        sql.push(", 0::int8");
        for (place, field) in self.fields.iter().enumerate() {
            untold(*field, sql.push(" + CASE WHEN "));
            sql.push(" THEN ").number(1 << place).push(" ELSE 0 END");
        }
        sql.push(" FROM trailseal.events");
        let mut wanted = Wanted::new(&mut sql);
        narrowed(self.narrowing, &mut wanted);
        let sql_of = wanted.and().push("(");
        self.unsure(sql_of);
        for field in self.fields {
            untold(*field, sql_of.push(" OR "));
        }
        sql_of.push(")");
        sql
    }

    /// Rows in each span of time that has any: when it begins, and their number. One more than a histogram can have, if
    /// there are too many.
    pub(super) fn bars(&self, width: Duration) -> Sql {
        let width = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(1);
        let mut sql = Sql::default();
        if width <= CENTURY_MICROS {
            sql.push("SELECT date_bin(").number(width).push(" * interval '1 microsecond', time, ");
            sql.moment(Timestamp::from_micros(FIRST_MICROS.div_euclid(width) * width)).push(")");
        } else {
            // Few: the number of the bar, by which its beginning is told.
            sql.push("SELECT floor(extract(epoch FROM time) * 1000000 / ").number(width).push(")::int8");
        }
        sql.push(", count(*) FROM trailseal.events");
        let mut wanted = Wanted::new(&mut sql);
        narrowed(self.narrowing, &mut wanted);
        let sql_of = wanted.and().push("NOT ");
        self.unsure(sql_of.push("("));
        sql_of.push(") GROUP BY 1 LIMIT ").number(HISTOGRAM_BUCKETS_MAX as i64 + 1);
        sql
    }

    /// Whether bars of this width come by their number instead of their beginning.
    pub(super) fn has_numbered_bars(width: Duration) -> bool {
        i64::try_from(width.as_micros()).unwrap_or(i64::MAX) > CENTURY_MICROS
    }
}

/// A field's value, as far as columns hold it.
fn value_of(field: FacetField) -> &'static str {
    match field {
        FacetField::Tenant => "tenant",
        FacetField::Actor => "coalesce(actor_id, actor_name)",
        FacetField::Action => "action",
        FacetField::Category => "category",
        FacetField::ResourceType => "resource_type",
        FacetField::Outcome => "coalesce(outcome, 'none')",
        FacetField::Severity => "severity",
        FacetField::Ip => "ip",
    }
}

/// That a row's line has to be looked at for this field.
fn untold(field: FacetField, sql: &mut Sql) {
    let altered: &[&'static str] = match field {
        FacetField::Tenant => &["tenant"],
        FacetField::Actor => &["actor_id", "actor_name"],
        FacetField::Action => &["action"],
        FacetField::Category => &["category"],
        FacetField::ResourceType => &["resource_type"],
        FacetField::Outcome | FacetField::Severity => &[],
        FacetField::Ip => &["ip"],
    };
    sql.push("(false");
    for column in altered.iter().copied() {
        Condition::Altered(column).write(sql.push(" OR "));
    }
    if field == FacetField::Ip {
        // The column has one form of each address. The line was sent that form if its only address is that.
        let address = "position(convert_to('\"ip\":\"' || ip || '\"', 'UTF8') IN line)";
        let first = "position('\"ip\":\"'::bytea IN line)";
        sql.push(&format!(" OR (ip IS NOT NULL AND ({address} = 0 OR {address} <> {first}"));
        sql.push(&format!(" OR position('\"ip\":\"'::bytea IN substring(line FROM {first} + 1)) > 0))"));
    }
    sql.push(") IS TRUE");
}

/// That a text may have `part` in it, in capital or small letters: PostgreSQL knows only those of ASCII alike everywhere.
fn may_contain(column: &str, part: &str, sql: &mut Sql) {
    sql.push("octet_length(").push(column).push(") <> length(").push(column).push(")");
    if part.is_ascii() && !part.contains('\0') {
        sql.push(" OR strpos(lower(").push(column).push(" COLLATE \"C\"), ").text(part).push(") > 0");
    }
}
