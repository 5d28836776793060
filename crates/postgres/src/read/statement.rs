//! The statements of a search: rows in order from one place on, and counts.

use trailseal_event::{By, First, Order, Timestamp};

use super::condition::Condition;
use super::narrow::{Doubts, Narrowing};
use super::sql::Sql;
use super::walk_position::Place;
use super::windows::{Bounds, Window};

/// The next rows of a search.
pub(super) struct Rows<'a> {
    pub(super) narrowing: &'a Narrowing,
    pub(super) order: Order,
    /// Rows after this one.
    pub(super) place: Option<&'a Place>,
    pub(super) window: &'a Window,
    pub(super) plan: Plan,
    /// At most so many.
    pub(super) rows: i64,
    /// Look at no more rows than this, in each way in which they are looked up.
    pub(super) step: Option<i64>,
}

/// How a statement is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// For the values that it has.
    Own,
    /// Once for all values: see [`kept`](super::kept). How many rows have a value is then unknown. Where no index gives
    /// them in order, they are gathered and sorted, up to [`GATHERED_MAX`].
    Kept,
}

/// If more rows than this are gathered, the statement does not tell which come first.
pub(super) const GATHERED_MAX: i64 = if cfg!(debug_assertions) { 6 } else { 2_000 };

/// What is selected, in this order: time, recorded, origin, idx, line, how many rows were looked at up to here, and how many
/// were gathered. The line is missing where only the last row that was looked at is told.
const SELECTED: &str = "SELECT time, recorded, origin, idx, line, ";

impl Rows<'_> {
    pub(super) fn sql(&self) -> Sql {
        let mut sql = Sql::default();
        let is_gathered = |condition: &Condition| {
            self.plan == Plan::Kept && (self.order.by == By::Recorded || !condition.comes_in_order())
        };
        let one = |condition: Option<&Condition>, sql: &mut Sql| match (condition, self.step) {
            (Some(condition), _) if is_gathered(condition) => self.gathered(condition, sql),
            (_, Some(step)) => self.stepped(condition, step, sql),
            (_, None) => self.plain(condition, sql),
        };
        match self.narrowing.any.as_slice() {
            [] => one(None, &mut sql),
            [condition] => one(Some(condition), &mut sql),
            several => {
                // The same row may be found in several ways.
                sql.push(SELECTED).push("seen, ");
                let any_gathered = several.iter().any(is_gathered);
                sql.push(if any_gathered { "max(gathered) OVER () AS gathered" } else { "gathered" });
                sql.push(" FROM (");
                for (at, condition) in several.iter().enumerate() {
                    sql.push(if at == 0 { "(" } else { ") UNION ALL (" });
                    one(Some(condition), &mut sql);
                }
                sql.push(")) AS found");
                self.ordered(self.rows, &mut sql);
            }
        }
        sql
    }

    fn plain(&self, condition: Option<&Condition>, sql: &mut Sql) {
        sql.push(SELECTED).push("0::bigint AS seen, 0::bigint AS gathered FROM trailseal.events");
        let mut wanted = Wanted::new(sql);
        wanted.conditions(condition);
        wanted.conditions(&self.narrowing.all);
        self.part(&mut wanted);
        self.ordered(self.rows, sql);
    }

    /// Conditions that no index serves are looked at outside, over rows of a limited number. They are numbered in the order that
    /// is wanted, or the server would sort them all before it gives the first.
    fn stepped(&self, condition: Option<&Condition>, step: i64, sql: &mut Sql) {
        let (inside, outside): (Vec<&Condition>, Vec<&Condition>) =
            self.narrowing.all.iter().partition(|condition| condition.is_one_tenant());
        sql.push("SELECT time, recorded, origin, idx, CASE WHEN is_match THEN line END AS line, seen, ");
        sql.push("0::bigint AS gathered FROM (");
        sql.push("SELECT time, recorded, origin, idx, line, row_number() OVER (");
        self.order_by(sql);
        sql.push(") AS seen, (true");
        for condition in outside {
            condition.write(sql.push(" AND "));
        }
        sql.push(") IS TRUE AS is_match FROM (SELECT * FROM trailseal.events");
        let mut wanted = Wanted::new(sql);
        wanted.conditions(condition);
        wanted.conditions(inside);
        self.part(&mut wanted);
        self.ordered(step, sql);
        sql.push(") AS walked) AS looked WHERE is_match OR seen = ").literal(step);
        self.ordered(self.rows, sql);
    }

    /// All rows of a condition, if they are few. Everything else is looked at outside: inside, it might bring the planner to
    /// another index, by which it would walk through millions of rows.
    fn gathered(&self, condition: &Condition, sql: &mut Sql) {
        sql.push("SELECT time, recorded, origin, idx, CASE WHEN is_match THEN line END AS line, 0::bigint AS seen, ");
        sql.push(
            "gathered FROM (SELECT time, recorded, origin, idx, line, count(*) OVER () AS gathered, (true",
        );
        let mut outside = Wanted { sql: &mut *sql, is_begun: true };
        outside.conditions(&self.narrowing.all);
        self.part(&mut outside);
        sql.push(") IS TRUE AS is_match FROM (SELECT * FROM trailseal.events WHERE ");
        condition.write(sql);
        sql.push(" LIMIT ").literal(GATHERED_MAX + 1);
        sql.push(") AS few) AS looked WHERE is_match OR gathered > ").literal(GATHERED_MAX);
        self.ordered(self.rows, sql);
    }

    /// Which part of the order.
    fn part(&self, wanted: &mut Wanted<'_>) {
        wanted.bounds("recorded", self.window.recorded);
        wanted.bounds("time", self.window.time);
        let Some(place) = self.place else { return };
        let behind = if self.order.first == First::Newest { " < " } else { " > " };
        let Place { time, recorded, origin, index } = place;
        if self.order.by == By::Time {
            // The first column said once more: an index need not have the others.
            let sql = wanted.and().push("time").push(behind.trim_end()).push("= ").moment(time.time());
            sql.push(" AND (time, recorded, origin, idx)")
                .push(behind)
                .push("(")
                .moment(time.time())
                .push(", ")
        } else {
            let sql = wanted.and().push("recorded").push(behind.trim_end()).push("= ");
            sql.moment(recorded.time()).push(" AND (recorded, origin, idx)").push(behind).push("(")
        }
        .moment(recorded.time())
        .push(", ")
        .text(origin)
        .push(", ")
        .number(*index)
        .push(")");
    }

    fn ordered(&self, limit: i64, sql: &mut Sql) {
        self.order_by(sql.push(" "));
        sql.push(" LIMIT ").literal(limit);
    }

    fn order_by(&self, sql: &mut Sql) {
        let columns: &[&str] = match self.order.by {
            By::Time => &["time", "recorded", "origin", "idx"],
            By::Recorded => &["recorded", "origin", "idx"],
        };
        for (at, column) in columns.iter().enumerate() {
            sql.push(if at == 0 { "ORDER BY " } else { ", " }).push(column);
            if self.order.first == First::Newest {
                sql.push(" DESC");
            }
        }
    }
}

/// How many rows there are, and of how many of them the columns do not tell whether they match. `None` if they tell it of
/// none.
pub(super) fn count(narrowing: &Narrowing) -> Option<Sql> {
    let Doubts::Of(doubts) = &narrowing.doubts else { return None };
    let mut sql = Sql::default();
    sql.push("SELECT count(*), count(*) FILTER (WHERE false");
    for doubt in doubts {
        doubt.write(sql.push(" OR "));
    }
    sql.push(") FROM trailseal.events");
    narrowed(narrowing, &mut Wanted::new(&mut sql));
    Some(sql)
}

/// All that is asked of rows, whatever their order.
pub(super) fn narrowed(narrowing: &Narrowing, wanted: &mut Wanted<'_>) {
    if !narrowing.any.is_empty() {
        let sql = wanted.and().push("(false");
        for condition in &narrowing.any {
            condition.write(sql.push(" OR "));
        }
        sql.push(")");
    }
    wanted.conditions(&narrowing.all);
    let Window { recorded, time } = narrowing.bounds();
    wanted.bounds("recorded", recorded);
    wanted.bounds("time", time);
}

/// What follows WHERE.
pub(super) struct Wanted<'a> {
    sql: &'a mut Sql,
    is_begun: bool,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(sql: &'a mut Sql) -> Self {
        Wanted { sql, is_begun: false }
    }

    pub(super) fn and(&mut self) -> &mut Sql {
        let is_begun = std::mem::replace(&mut self.is_begun, true);
        self.sql.push(if is_begun { " AND " } else { " WHERE " })
    }

    fn conditions<'c>(&mut self, conditions: impl IntoIterator<Item = &'c Condition>) {
        for condition in conditions {
            condition.write(self.and());
        }
    }

    pub(super) fn bounds(&mut self, column: &str, Bounds { from, to }: Bounds) {
        let mut bound = |than: &str, time: Option<Timestamp>| {
            if let Some(time) = time {
                self.and().push(column).push(than).moment(time);
            }
        };
        bound(" >= ", from);
        bound(" < ", to);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use trailseal_event::filter::Filter;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

    fn sql(pairs: &[(&str, &str)], order: Order, place: Option<&Place>, step: Option<i64>) -> String {
        planned(Plan::Own, pairs, order, place, step)
    }

    fn planned(
        plan: Plan,
        pairs: &[(&str, &str)],
        order: Order,
        place: Option<&Place>,
        step: Option<i64>,
    ) -> String {
        let narrowing = Narrowing::of(&Filter::from_pairs(pairs.iter().copied(), NOW).unwrap());
        let window = narrowing.bounds();
        Rows { narrowing: &narrowing, order, place, window: &window, plan, rows: 51, step }.sql().shown()
    }

    #[test]
    fn a_page_of_one_tenant_is_one_walk_along_its_index() {
        let place = Place { origin: "o".to_owned(), index: 7, ..Place::at(NOW) };
        let now = "<2026-11-18T11:06:40.000000Z>";
        assert_eq!(
            sql(&[("tenant", "t")], Order::NEWEST, Some(&place), None),
            format!(
                "SELECT time, recorded, origin, idx, line, 0::bigint AS seen, 0::bigint AS gathered FROM trailseal.events WHERE tenant = 't' \
                 AND action <> '' AND NOT system AND time <= {now} AND (time, recorded, origin, idx) < ({now}, {now}, \
                 'o', 7) ORDER BY time DESC, recorded DESC, origin DESC, idx DESC LIMIT 51"
            )
        );
        assert_eq!(
            sql(&[("since", "2026-11-18T11:06:40Z")], Order::OLDEST_RECORDED, Some(&place), None),
            format!(
                "SELECT time, recorded, origin, idx, line, 0::bigint AS seen, 0::bigint AS gathered FROM trailseal.events WHERE action <> '' \
                 AND NOT system AND recorded >= {now} AND time >= {now} AND recorded >= {now} AND (recorded, origin, \
                 idx) > ({now}, 'o', 7) ORDER BY recorded, origin, idx LIMIT 51"
            )
        );
    }

    #[test]
    fn with_little_time_few_rows_are_walked_and_the_last_is_told() {
        assert_eq!(
            sql(&[("tenant", "t"), ("session_id", "s")], Order::NEWEST_RECORDED, None, Some(4_096)),
            "SELECT time, recorded, origin, idx, CASE WHEN is_match THEN line END AS line, seen, 0::bigint AS gathered \
             FROM (SELECT time, recorded, origin, idx, line, row_number() OVER (ORDER BY recorded DESC, \
             origin DESC, idx DESC) AS seen, (true AND action <> '' AND NOT system AND \
             session_id = 's') IS TRUE AS is_match FROM (SELECT * FROM trailseal.events WHERE tenant = 't' ORDER BY \
             recorded DESC, origin DESC, idx DESC LIMIT 4096) AS walked) AS looked WHERE is_match OR seen = 4096 \
             ORDER BY recorded DESC, origin DESC, idx DESC LIMIT 51"
        );
    }

    #[test]
    fn with_a_plan_for_all_values_few_rows_are_gathered_where_no_index_has_the_order() {
        assert_eq!(
            planned(Plan::Kept, &[("request_id", "r"), ("tenant", "t")], Order::NEWEST, None, Some(32)),
            "SELECT time, recorded, origin, idx, CASE WHEN is_match THEN line END AS line, 0::bigint AS seen, gathered \
             FROM (SELECT time, recorded, origin, idx, line, count(*) OVER () AS gathered, (true AND action <> '' AND \
             NOT system AND tenant = 't') IS TRUE AS is_match FROM (SELECT * FROM trailseal.events WHERE request_id = \
             'r' LIMIT 7) AS few) AS looked WHERE is_match OR gathered > 6 ORDER BY time DESC, recorded DESC, origin \
             DESC, idx DESC LIMIT 51"
        );
        let own = planned(Plan::Own, &[("tenant", "t")], Order::NEWEST, None, None);
        assert_eq!(planned(Plan::Kept, &[("tenant", "t")], Order::NEWEST, None, None), own);
        let by_recording = planned(Plan::Kept, &[("tenant", "t")], Order::NEWEST_RECORDED, None, None);
        assert!(by_recording.contains("WHERE tenant = 't' LIMIT 7) AS few"), "{by_recording}");
    }

    #[test]
    fn counts_say_how_many_rows_are_in_doubt() {
        let narrowing = Narrowing::of(&Filter::from_pairs([("action", "a*")], NOW).unwrap());
        let sql = count(&narrowing).unwrap().shown();
        let wanted = "SELECT count(*), count(*) FILTER (WHERE false OR (octet_length(action) >= 1021 OR \
            strpos(action, '\u{fffd}') > 0)) FROM trailseal.events WHERE action <> '' AND NOT system AND";
        assert!(sql.starts_with(wanted), "{sql}");
        let narrowing = Narrowing::of(&Filter::from_pairs([("text", "a")], NOW).unwrap());
        assert!(count(&narrowing).is_none());
    }
}
