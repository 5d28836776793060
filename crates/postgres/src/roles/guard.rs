//! What is missing in how a store is guarded, as the connected role finds it.

use super::gap::{ASK_WITHIN, Gap, GapKind};
use super::made::{self, Missing};
use super::rules::{self, TENANTS_MEND};
use crate::connect::Connection;
use crate::error::StoreError;

/// Everything that guards one table, in one row a table: the parent, its partitions, and the others to which rows are only added.
const TABLES: &str = "
    SELECT c.relname::text,
           EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'append_only' AND t.tgenabled IN ('O', 'A')
                   AND t.tgtype & 27 = 27 AND t.tgqual IS NULL AND t.tgattr::text = '' AND t.tgfoid = 'trailseal.refuse_change'::regproc),
           EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'no_truncate' AND t.tgenabled IN ('O', 'A')
                   AND t.tgtype & 34 = 34 AND t.tgqual IS NULL AND t.tgfoid = 'trailseal.refuse_change'::regproc)
    FROM pg_class c
    WHERE c.oid IN ('trailseal.events'::regclass, 'trailseal.checkpoints'::regclass,
                    to_regclass('trailseal.retired_lists'), to_regclass('trailseal.retired_leaves'),
                    to_regclass('trailseal.retired_ids'), to_regclass('trailseal.dropped'), to_regclass('trailseal.policies'))
       OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass)
    ORDER BY 1";

/// One row of yes and no, in the order of `facts`.
const FACTS: &str = "
    SELECT (SELECT relrowsecurity FROM pg_class WHERE oid = 'trailseal.events'::regclass),
           EXISTS (SELECT FROM pg_policy WHERE polrelid = 'trailseal.events'::regclass AND polname = 'own_tenants'),
           (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
           (SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'trailseal.events'::regclass),
           EXISTS (SELECT FROM pg_class c WHERE has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE')
                   AND (c.oid IN ('trailseal.events'::regclass, 'trailseal.checkpoints'::regclass,
                                  to_regclass('trailseal.retired_lists'), to_regclass('trailseal.retired_leaves'),
                    to_regclass('trailseal.retired_ids'))
                        OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass))),
           EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = 'trailseal.events'::regclass AND partdefid <> 0),
           EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass AND inhdetachpending),
           current_setting('fsync')::boolean,
           current_setting('full_page_writes')::boolean,
           current_setting('synchronous_commit') <> 'off',
           current_user::text";

struct Facts {
    has_row_security: bool,
    has_policy: bool,
    is_superuser: bool,
    is_owner: bool,
    may_change: bool,
    has_default: bool,
    has_pending: bool,
    syncs: bool,
    writes_pages: bool,
    waits: bool,
    role: String,
}

/// Looks for what is missing in the guard of a store, and of its schema; nothing is, where there is no table at all.
///
/// # Errors
/// When the store cannot be asked.
pub fn gaps(connection: &mut Connection) -> Result<Vec<Gap>, StoreError> {
    let missing = Missing::look(connection)?;
    if missing.is_all() {
        return Ok(Vec::new());
    }
    let mut gaps: Vec<Gap> = missing.gap().into_iter().collect();
    // The other questions name tables and columns.
    if !missing.is_none() {
        return Ok(gaps);
    }
    let (tables, facts) = connection.run("ask for the guard of", ASK_WITHIN, async |client| {
        let mut tables = Vec::new();
        for row in client.query_typed(TABLES, &[]).await? {
            tables.push((row.try_get::<_, String>(0)?, row.try_get(1)?, row.try_get(2)?));
        }
        let rows = client.query_typed(FACTS, &[]).await?;
        Ok((tables, rows.first().map(Facts::of).transpose()?))
    })?;
    of_triggers(&tables, &mut gaps);
    gaps.extend(made::triggers(connection)?);
    if let Some(facts) = facts {
        facts.tell(&mut gaps);
    }
    gaps.extend(rules::gaps(connection)?);
    Ok(gaps)
}

fn of_triggers(tables: &[(String, bool, bool)], gaps: &mut Vec<Gap>) {
    for (which, name, statement) in [
        ("UPDATE and DELETE", "append_only", "BEFORE UPDATE OR DELETE ON trailseal.TABLE FOR EACH ROW"),
        ("TRUNCATE", "no_truncate", "BEFORE TRUNCATE ON trailseal.TABLE FOR EACH STATEMENT"),
    ] {
        let lacks = |(_, rows, truncate): &&(String, bool, bool)| {
            !if name == "append_only" { *rows } else { *truncate }
        };
        let lacking: Vec<&str> = tables.iter().filter(lacks).map(|(table, ..)| &**table).collect();
        let Some(first) = lacking.first() else { continue };
        let what =
            format!("the trigger that refuses {which} is missing or disabled on {}", lacking.join(", "));
        let statement = statement.replace("TABLE", first);
        let mend = format!(
            "run as the owner, for each of them: DROP TRIGGER IF EXISTS {name} ON trailseal.{first}; CREATE TRIGGER {name} \
             {statement} EXECUTE FUNCTION trailseal.refuse_change(); then `trailseal verify --store`, and find out who did it"
        );
        gaps.push(Gap { kind: GapKind::AppendOnly, what, mend });
    }
}

impl Facts {
    fn of(row: &tokio_postgres::Row) -> Result<Facts, tokio_postgres::Error> {
        Ok(Facts {
            has_row_security: row.try_get(0)?,
            has_policy: row.try_get(1)?,
            is_superuser: row.try_get(2)?,
            is_owner: row.try_get(3)?,
            may_change: row.try_get(4)?,
            has_default: row.try_get(5)?,
            has_pending: row.try_get(6)?,
            syncs: row.try_get(7)?,
            writes_pages: row.try_get(8)?,
            waits: row.try_get(9)?,
            role: row.try_get(10)?,
        })
    }

    fn tell(&self, gaps: &mut Vec<Gap>) {
        let mut add = |kind, what: String, mend: &str| gaps.push(Gap { kind, what, mend: mend.to_owned() });
        if !self.has_row_security || !self.has_policy {
            add(
                GapKind::Tenants,
                "row-level security is off on trailseal.events, or its policy own_tenants is missing: a reading role sees \
                 the events of every tenant"
                    .to_owned(),
                TENANTS_MEND,
            );
        }
        self.tell_of_role(&mut add);
        if self.has_default {
            let what =
                "trailseal.events has a default partition: no partition can be added while anybody uses it";
            add(GapKind::Partitions, what.to_owned(), "move its rows elsewhere and drop it");
        }
        if self.has_pending {
            let what = "a partition of trailseal.events was half detached: its events are already invisible to queries";
            add(
                GapKind::Partitions,
                what.to_owned(),
                "ALTER TABLE trailseal.events DETACH PARTITION … FINALIZE",
            );
        }
        let off: Vec<&str> = [
            (self.syncs, "fsync"),
            (self.writes_pages, "full_page_writes"),
            (self.waits, "synchronous_commit"),
        ]
        .into_iter()
        .filter_map(|(is_on, name)| (!is_on).then_some(name))
        .collect();
        if !off.is_empty() {
            let what = format!(
                "the server runs with {} off: after a crash it may lack events that a receipt called stored",
                off.join(" and ")
            );
            add(GapKind::Durability, what, "turn it on in postgresql.conf and restart the server");
        }
    }

    fn tell_of_role(&self, add: &mut dyn FnMut(GapKind, String, &str)) {
        let mend = "`trailseal store roles` prints the SQL for separate roles; let the store's URL name a user that is only \
            in the writing one";
        let role = &self.role;
        if self.is_superuser {
            let what = format!("{role} is a superuser: whoever has this URL can do anything on the server");
            add(GapKind::Roles, what, mend);
        } else if self.is_owner {
            let what =
                format!("{role} owns the store's tables: whoever has this URL can switch the triggers off");
            add(GapKind::Roles, what, mend);
        } else if self.may_change {
            let what = format!("{role} may update, delete or truncate what is stored; only triggers stop it");
            add(
                GapKind::Roles,
                what,
                "revoke UPDATE, DELETE and TRUNCATE, as `trailseal store roles` has it",
            );
        }
    }
}
