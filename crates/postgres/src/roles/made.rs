//! Whether the tables that the migrations make are there, with their columns, and the triggers that guard what was decided.

use tokio_postgres::types::Type;

use super::gap::{ASK_WITHIN, Gap, GapKind};
use crate::connect::Connection;
use crate::error::StoreError;

/// Each table with its columns. A test compares them with what the migrations make.
pub(super) const TABLES: [(&str, &str); 21] = [
    ("migrations", "version applied"),
    (
        "events",
        "origin idx recorded time id tenant category action resource_type resource_id resource_name related outcome severity \
         actor_id actor_name on_behalf_of ip request_id correlation_id session_id trace_id system leaf line",
    ),
    ("cursors", "origin next leaf moved"),
    ("extents", "origin partition first_idx last_idx min_time rows"),
    ("checkpoints", "origin size note stored"),
    ("readers", "role tenant"),
    ("dropped", "partition origin first_idx last_idx rows by_role at"),
    ("versions", "name number"),
    ("decisions", "id origin what about decided idx"),
    ("tokens", "name sha256 about created expires last_used"),
    ("holds", "name about"),
    ("policies", "number policy review set_at"),
    ("reviews", "id origin idx tenant line state decided"),
    ("review_cursors", "origin next"),
    ("retired_lists", "origin segment bytes event list stored"),
    ("retired_leaves", "origin segment bytes from_idx to_idx leaves"),
    ("retired_ids", "origin segment bytes head entries"),
    ("retiring", "origin segment bytes next_idx"),
    ("retiring_now", "transaction origin first_idx last_idx"),
    ("viewer_keys", "key origin kept rejected"),
    ("flag_cursors", "origin next"),
];

/// The columns that are missing, in the order given; without its name, where the whole table is.
const MISSING: &str = "
    SELECT wanted.name, CASE WHEN c.oid IS NOT NULL THEN wanted.part END
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (name, part, nth)
    LEFT JOIN pg_class c ON c.relname = wanted.name AND c.relkind IN ('r', 'p')
        AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'trailseal')
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = wanted.part AND NOT a.attisdropped
    WHERE a.attname IS NULL ORDER BY nth";

/// What is missing of tables and columns.
pub(super) struct Missing {
    tables: Vec<String>,
    /// As `TABLE.COLUMN`.
    columns: Vec<String>,
}

impl Missing {
    pub(super) fn look(connection: &mut Connection) -> Result<Missing, StoreError> {
        let wanted: Vec<(&str, &str)> = TABLES
            .iter()
            .flat_map(|(table, columns)| columns.split(' ').map(|column| (*table, column)))
            .collect();
        let (tables, columns): (Vec<&str>, Vec<&str>) = wanted.into_iter().unzip();
        connection.run("ask for the tables of", ASK_WITHIN, async |client| {
            let given = [(&tables as _, Type::TEXT_ARRAY), (&columns as _, Type::TEXT_ARRAY)];
            let mut missing = Missing { tables: Vec::new(), columns: Vec::new() };
            for row in client.query_typed(MISSING, &given).await? {
                let (table, column): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
                match column {
                    Some(column) => missing.columns.push(format!("{table}.{column}")),
                    None if missing.tables.last() == Some(&table) => {}
                    None => missing.tables.push(table),
                }
            }
            Ok(missing)
        })
    }

    /// Whether none of the tables is there: then there is no store.
    pub(super) fn is_all(&self) -> bool {
        self.tables.len() == TABLES.len()
    }

    pub(super) fn is_none(&self) -> bool {
        self.tables.is_empty() && self.columns.is_empty()
    }

    pub(super) fn gap(&self) -> Option<Gap> {
        let (what, names) = match (self.tables.is_empty(), self.columns.is_empty()) {
            (true, true) => return None,
            (false, _) => ("tables", &self.tables),
            (true, false) => ("columns", &self.columns),
        };
        Some(Gap {
            kind: GapKind::Schema,
            what: format!("{what} are missing in the schema trailseal: {}", names.join(", ")),
            mend: "restore them from a backup of the database, and find out who removed or renamed them; an empty store is filled \
                   again from the trails that still have their lines"
                .to_owned(),
        })
    }
}

/// A trigger that guards what was decided.
struct Trigger {
    table: &'static str,
    name: &'static str,
    /// The bits of `tgtype` that it has: each row (1), before (2), DELETE (8), UPDATE (16), TRUNCATE (32).
    kind: i16,
    function: &'static str,
    /// What is between name and function where it is made.
    made: &'static str,
}

const fn trigger(table: &'static str, name: &'static str, kind: i16, made: &'static str) -> Trigger {
    let function = if kind == 19 { "refuse_second_decision" } else { "refuse_change" };
    Trigger { table, name, kind, function, made }
}

const TRIGGERS: [Trigger; 6] = [
    trigger(
        "reviews",
        "decided_once",
        19,
        "BEFORE UPDATE ON trailseal.reviews FOR EACH ROW WHEN (OLD.state <> 'pending' OR (OLD.id, OLD.origin, OLD.idx, OLD.line) \
         IS DISTINCT FROM (NEW.id, NEW.origin, NEW.idx, NEW.line))",
    ),
    trigger("reviews", "no_delete", 11, "BEFORE DELETE ON trailseal.reviews FOR EACH ROW"),
    trigger("reviews", "no_truncate", 34, "BEFORE TRUNCATE ON trailseal.reviews FOR EACH STATEMENT"),
    trigger(
        "decisions",
        "recorded_once",
        19,
        "BEFORE UPDATE ON trailseal.decisions FOR EACH ROW WHEN (OLD.idx IS NOT NULL OR (OLD.id, OLD.origin, OLD.what, OLD.about, \
         OLD.decided) IS DISTINCT FROM (NEW.id, NEW.origin, NEW.what, NEW.about, NEW.decided))",
    ),
    trigger("decisions", "no_delete", 11, "BEFORE DELETE ON trailseal.decisions FOR EACH ROW"),
    trigger("decisions", "no_truncate", 34, "BEFORE TRUNCATE ON trailseal.decisions FOR EACH STATEMENT"),
];

const IS_THERE: &str = "
    SELECT EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgrelid = to_regclass('trailseal.' || $1) AND t.tgname = $2 AND t.tgenabled IN ('O', 'A') AND t.tgtype & $3 = $3
          AND (t.tgqual IS NULL OR $3 = 19) AND t.tgattr::text = '' AND p.proname = $4 AND p.pronamespace = 'trailseal'::regnamespace)";

/// The triggers that are missing or disabled on what was decided.
pub(super) fn triggers(connection: &mut Connection) -> Result<Vec<Gap>, StoreError> {
    connection.run("ask for the triggers of", ASK_WITHIN, async |client| {
        let mut gaps = Vec::new();
        for Trigger { table, name, kind, function, made } in &TRIGGERS {
            let given = [
                (table as _, Type::TEXT),
                (name as _, Type::TEXT),
                (kind as _, Type::INT2),
                (function as _, Type::TEXT),
            ];
            let rows = client.query_typed(IS_THERE, &given).await?;
            if rows.first().map_or(Ok(false), |row| row.try_get(0))? {
                continue;
            }
            gaps.push(Gap {
                kind: GapKind::AppendOnly,
                what: format!("the trigger {name} is missing or disabled on {table}: what was decided can be changed or removed"),
                mend: format!(
                    "run as the owner: DROP TRIGGER IF EXISTS {name} ON trailseal.{table}; CREATE TRIGGER {name} {made} EXECUTE \
                     FUNCTION trailseal.{function}(); then compare the table with the events in the trails, and find out who did it"
                ),
            });
        }
        Ok(gaps)
    })
}
