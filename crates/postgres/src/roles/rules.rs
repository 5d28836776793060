//! What else decides who sees and who writes what: policies, rights on partitions, and settings of users and databases.

use super::gap::{ASK_WITHIN, Gap, GapKind};
use crate::connect::Connection;
use crate::error::StoreError;

/// The policies on events and partitions that no migration and no `store roles` makes. One of the latter shows everything to the role
/// for auditors that has the same prefix.
const POLICIES: &str = "
    SELECT p.polname::text, c.relname::text
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
    WHERE (c.oid = 'trailseal.events'::regclass
           OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass))
      AND NOT (c.oid = 'trailseal.events'::regclass AND p.polpermissive AND p.polcmd = 'r' AND (
          p.polname = 'own_tenants' AND pg_get_expr(p.polqual, p.polrelid)
              ~ '^\\(tenant = ANY \\(\\( *SELECT trailseal\\.my_tenants\\(\\) AS my_tenants\\)::text\\[\\]\\)\\)$'
          OR cardinality(p.polroles) = 1 AND p.polname LIKE '%!_all' ESCAPE '!' AND (SELECT a.rolname FROM pg_roles a WHERE a.oid = p.polroles[1])
              = regexp_replace(p.polname, '_all$', '_auditor')))
    ORDER BY 2, 1";

/// Whether the function by which the policy knows a reader's tenants is the one that the migration makes.
const MY_TENANTS: &str = "
    SELECT EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'trailseal'::regnamespace AND proname = 'my_tenants' AND pronargs = 0
        AND prosecdef AND btrim(prosrc, E' \\n')
            = 'SELECT coalesce(array_agg(tenant), ''{}'') FROM trailseal.readers WHERE role = session_user::text')";

/// Who may read a partition: there no policy keeps tenants apart.
const READABLE: &str = "
    SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(acl.grantee)::text END, string_agg(DISTINCT c.relname, ', ' ORDER BY c.relname)
    FROM pg_class c, aclexplode(c.relacl || (SELECT array_agg(one) FROM pg_attribute a, unnest(a.attacl) AS one WHERE a.attrelid = c.oid)) AS acl
    WHERE c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass)
      AND acl.privilege_type = 'SELECT' AND acl.grantee <> c.relowner
    GROUP BY 1 ORDER BY 1";

/// Whose sessions switch the triggers off, for this database.
const REPLICAS: &str = "
    SELECT coalesce('the user ' || rolname, 'everybody') || coalesce(' in the database ' || datname, '')
    FROM pg_db_role_setting LEFT JOIN pg_roles r ON r.oid = setrole LEFT JOIN pg_database d ON d.oid = setdatabase
    WHERE (setdatabase = 0 OR datname = current_database())
      AND EXISTS (SELECT FROM unnest(setconfig) AS setting WHERE setting ILIKE 'session_replication_role=replica')
    UNION SELECT 'this connection' WHERE current_setting('session_replication_role') = 'replica'
    ORDER BY 1";

/// What the role cannot do that a writer must: to which tables it cannot add, and whether its transactions only read.
const CANNOT: &str = "
    SELECT current_user::text,
           (SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c
            WHERE NOT has_table_privilege(c.oid, 'INSERT')
              AND (c.oid IN ('trailseal.cursors'::regclass, 'trailseal.extents'::regclass, 'trailseal.checkpoints'::regclass)
                   OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass))),
           current_setting('default_transaction_read_only')::boolean,
           (SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c WHERE c.relrowsecurity
              AND c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'trailseal.events'::regclass))";

/// The SQL that keeps tenants apart again.
pub(super) const TENANTS_MEND: &str = "run as the owner: ALTER TABLE trailseal.events ENABLE ROW LEVEL SECURITY; DROP POLICY IF EXISTS \
     own_tenants ON trailseal.events; CREATE POLICY own_tenants ON trailseal.events FOR SELECT USING (tenant = ANY ((SELECT \
     trailseal.my_tenants())::text[]))";

const MY_TENANTS_MEND: &str = "run as the owner: CREATE OR REPLACE FUNCTION trailseal.my_tenants() RETURNS text[] LANGUAGE sql STABLE \
     SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT coalesce(array_agg(tenant), '{}') FROM trailseal.readers WHERE \
     role = session_user::text $$";

#[derive(Default)]
struct Found {
    /// Policy and table.
    policies: Vec<(String, String)>,
    has_my_tenants: bool,
    /// Who may read which partitions.
    readable: Vec<(String, String)>,
    replicas: Vec<String>,
    role: String,
    cannot_add: Option<String>,
    only_reads: bool,
    /// Partitions under row-level security.
    secured: Option<String>,
}

/// What is wrong with all this.
pub(super) fn gaps(connection: &mut Connection) -> Result<Vec<Gap>, StoreError> {
    let found = connection.run("ask for the rules of", ASK_WITHIN, async |client| {
        let mut found = Found::default();
        for row in client.query_typed(POLICIES, &[]).await? {
            found.policies.push((row.try_get(0)?, row.try_get(1)?));
        }
        for row in client.query_typed(MY_TENANTS, &[]).await? {
            found.has_my_tenants = row.try_get(0)?;
        }
        for row in client.query_typed(READABLE, &[]).await? {
            found.readable.push((row.try_get(0)?, row.try_get(1)?));
        }
        for row in client.query_typed(REPLICAS, &[]).await? {
            found.replicas.push(row.try_get(0)?);
        }
        for row in client.query_typed(CANNOT, &[]).await? {
            (found.role, found.cannot_add) = (row.try_get(0)?, row.try_get(1)?);
            (found.only_reads, found.secured) = (row.try_get(2)?, row.try_get(3)?);
        }
        Ok(found)
    })?;
    let mut gaps = Vec::new();
    found.tell_of_tenants(&mut gaps);
    found.tell_of_writing(&mut gaps);
    Ok(gaps)
}

impl Found {
    fn tell_of_tenants(&self, gaps: &mut Vec<Gap>) {
        let mut add = |what, mend| gaps.push(Gap { kind: GapKind::Tenants, what, mend });
        for (policy, table) in &self.policies {
            let what = format!(
                "the policy {policy} on {table} is none that Trailseal makes, or was changed: it may show the events of other tenants, \
                 or hide events"
            );
            let mend = match policy == "own_tenants" && table == "events" {
                true => TENANTS_MEND.to_owned(),
                false => format!(
                    "find out who made it, and run as the owner: DROP POLICY \"{policy}\" ON trailseal.{table}"
                ),
            };
            add(what, mend);
        }
        if !self.has_my_tenants {
            let what = "the function trailseal.my_tenants, by which row-level security knows the tenants of a reader, is missing or was \
                        changed";
            add(what.to_owned(), MY_TENANTS_MEND.to_owned());
        }
        for (role, partitions) in &self.readable {
            let what = format!(
                "{role} may read {partitions} past row-level security, and so the events of every tenant"
            );
            let role = if role == "PUBLIC" { role.clone() } else { format!("\"{role}\"") };
            add(
                what,
                format!("run as the owner, for each of them: REVOKE SELECT ON trailseal.… FROM {role}"),
            );
        }
    }

    fn tell_of_writing(&self, gaps: &mut Vec<Gap>) {
        let mut add = |kind, what: String, mend: &str| gaps.push(Gap { kind, what, mend: mend.to_owned() });
        for who in &self.replicas {
            add(
                GapKind::AppendOnly,
                format!("session_replication_role is replica for {who}: no trigger refuses any change there"),
                "take that setting back (ALTER ROLE … RESET, ALTER DATABASE … RESET, or postgresql.conf), then `trailseal verify \
                 --store`, and find out who did it",
            );
        }
        let role = &self.role;
        if let Some(tables) = &self.cannot_add {
            add(
                GapKind::Roles,
                format!("{role} may not add rows to {tables}: nothing is delivered"),
                "run again what `trailseal store roles` prints, and let the store's URL name a user in the writing role",
            );
        }
        if self.only_reads {
            add(
                GapKind::Roles,
                format!("default_transaction_read_only is on for {role}: nothing is delivered"),
                "take that setting back (ALTER ROLE … RESET, ALTER DATABASE … RESET, or postgresql.conf)",
            );
        }
        if let Some(partitions) = &self.secured {
            add(
                GapKind::Partitions,
                format!(
                    "row-level security is on for {partitions}: writers cannot add rows there. It belongs on events alone"
                ),
                "run as the owner, for each of them: ALTER TABLE trailseal.… DISABLE ROW LEVEL SECURITY",
            );
        }
    }
}
