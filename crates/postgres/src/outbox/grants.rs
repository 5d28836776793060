//! Who may do more with an outbox than write events into it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::connect::Connection;
use crate::error::StoreError;

use super::schema::check_usable;

const WITHIN: Duration = Duration::from_secs(20);

/// What others than the owner, and those whose role the connected user is in, may do, and must not: who, what, and where.
/// A writer may insert into three columns, if it has a name: what everybody may do, nobody has been chosen for.
const WIDE: &str = "
    WITH granted AS (
        SELECT c.relname::text AS name, NULL::text AS part, c.relowner AS owner, acl.grantee, acl.privilege_type AS may
        FROM pg_class c, aclexplode(c.relacl) AS acl
        WHERE c.relnamespace = 'trailseal_outbox'::regnamespace
        UNION ALL
        SELECT c.relname::text, a.attname::text, c.relowner, acl.grantee, acl.privilege_type
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) AS acl
        WHERE c.relnamespace = 'trailseal_outbox'::regnamespace AND NOT a.attisdropped
        UNION ALL
        SELECT 'the schema', NULL, n.nspowner, acl.grantee, acl.privilege_type
        FROM pg_namespace n, aclexplode(n.nspacl) AS acl WHERE n.nspname = 'trailseal_outbox'
    )
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, may || coalesce(' (' || part || ')', ''), name
    FROM granted
    WHERE grantee <> owner
      AND NOT (grantee <> 0 AND pg_has_role(current_user, grantee, 'USAGE')
               AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
      AND NOT (name = 'the schema' AND may = 'USAGE')
      AND NOT (name = 'migrations' AND may = 'SELECT')
      AND NOT (name = 'events' AND may = 'INSERT' AND coalesce(part, '') IN ('id', 'event', 'masked') AND grantee <> 0)
    ORDER BY 1, 3, 2";

/// Somebody who may do more with an outbox than a writer needs, and is no relay of this user's role.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WideGrant {
    /// The role, as SQL names it, or `PUBLIC`.
    pub role: String,
    /// What it may do, and where.
    pub may: String,
}

/// Who may do more with the outbox of a database than write events into it, beside its owner and the roles of the connected user,
/// which is to be a relay's.
///
/// # Errors
/// When there is no outbox, or it cannot be asked.
pub fn wide_grants(connection: &mut Connection) -> Result<Vec<WideGrant>, StoreError> {
    check_usable(connection)?;
    connection.run("ask for the rights in the outbox of", WITHIN, async |client| {
        let mut found: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        for row in client.query_typed(WIDE, &[]).await? {
            let of_role = found.entry(row.try_get(0)?).or_default();
            of_role.entry(row.try_get(2)?).or_default().push(row.try_get(1)?);
        }
        let on = |(name, may): (&String, &Vec<String>)| format!("{} on {name}", may.join(", "));
        let grant = |(role, names): (String, BTreeMap<String, Vec<String>>)| WideGrant {
            role,
            may: names.iter().map(on).collect::<Vec<_>>().join("; "),
        };
        Ok(found.into_iter().map(grant).collect())
    })
}
