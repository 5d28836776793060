//! Roles of the database: the SQL that makes separate ones, and what is missing in how a store is guarded.

mod gap;
mod guard;
mod made;
mod rules;

pub use gap::{Gap, GapKind};
pub use guard::gaps;

/// The SQL that makes a role each for writing, reading, auditing and retiring. `None` if the prefix cannot begin a role's
/// name: a lower-case letter, then letters, digits and underscores, 40 at most.
pub fn sql(prefix: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name = prefix.len() <= 40
        && prefix.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && prefix.bytes().all(is_plain)
        // PostgreSQL keeps these names to itself.
        && !prefix.starts_with("pg_");
    is_name.then(|| include_str!("roles.sql").replace("{prefix}", prefix))
}

#[cfg(test)]
mod tests {
    use super::sql;

    #[test]
    fn only_a_plain_name_becomes_part_of_the_sql() {
        let text = sql("audit_2").unwrap();
        assert!(
            text.contains("CREATE ROLE") && text.contains("audit_2_writer") && !text.contains("{prefix}")
        );
        for wrong in ["", "1a", "A", "a-b", "a b", "a;", "ä", "pg_a", &"a".repeat(41)] {
            assert_eq!(sql(wrong), None, "{wrong}");
        }
    }
}
