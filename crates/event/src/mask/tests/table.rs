//! The table of docs/masking.md: generated from the rules, and from what the masker does to an example of each form.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p trailseal-event --lib mask::tests::table` regenerates it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::{left, masker};
use crate::event::Event;
use crate::mask::names::effect::Kind;
use crate::mask::names::secret_names::ENTRIES;
use crate::mask::texts::token_prefixes::RULES;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/masking.md");
const BEGIN: &str = "<!-- Generated from the rules. To regenerate: UPDATE_SNAPSHOTS=1 cargo test -p trailseal-event --lib mask::tests::table -->\n";
const END: &str = "<!-- End of the generated table. -->\n";

/// How a value is escaped in a form, so that it ends where the form ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Unescaped.
    Plain,
    /// With a backslash before a double quote and a backslash.
    Backslash,
    /// With each single quote doubled.
    Twice,
    /// With `%26` for `&` and `%23` for `#`.
    Percent,
    /// With `&lt;` for `<`.
    Xml,
}

/// Forms of a key and a value in a text: a description, and a text in which `§` stands for the secret.
pub(super) const FORMS: &[(&str, &str, Written)] = &[
    ("`key=value`, to the next space", "connect password=§ as anna", Written::Plain),
    ("the same, with spaces", "PASSWORD = § for anna", Written::Plain),
    ("in a connection string", "Uid=app; Pwd=§ ;Encrypt=true", Written::Plain),
    ("in a shell", "DB_PASSWORD=§ ./run.sh", Written::Plain),
    ("`key: value`, if the value is not a plain word", "DB_PASSWORD: § was set", Written::Plain),
    ("`key:value`, the same", "login with password:§ failed", Written::Plain),
    ("separated by a tab", "password\t§ was set", Written::Plain),
    ("a tab after the colon", "password:\t§ was set", Written::Plain),
    ("a Go map", "map[password:§ user:anna]", Written::Plain),
    ("a passphrase, to the end of the line", "passphrase=§ correct horse", Written::Plain),
    ("a URL parameter, to `&` or `#`", "GET /login?user=anna&password=§&page=2 HTTP/1.1", Written::Percent),
    ("a URL fragment", "https://example.com/#access_token=§&page=2", Written::Percent),
    ("in quotes", "login(user=\"anna\", password=\"§\", port=5)", Written::Backslash),
    ("quotes around key and value", "curl -d \"password=§\" https://example.com", Written::Backslash),
    ("in single quotes", "password='§' and more", Written::Twice),
    ("JSON", "sent {\"password\":\"§\",\"n\":1} to it", Written::Backslash),
    ("JSON as the whole text", "{\"user\":\"anna\",\"password\":\"§\"}", Written::Backslash),
    ("Python", "sent {'user': 'anna', 'password': \"§\"}", Written::Backslash),
    ("Ruby", "sent {\"user\"=>\"anna\", \"password\"=>\"§\"}", Written::Backslash),
    ("XML", "<user>anna</user><password>§</password>", Written::Xml),
    ("SQL", "ALTER USER anna WITH PASSWORD '§' NOLOGIN", Written::Twice),
    ("SQL, national characters", "ALTER LOGIN anna WITH PASSWORD = N'§' UNLOCK", Written::Twice),
    ("SQL, with escapes", "ALTER ROLE anna PASSWORD E'§' LOGIN", Written::Twice),
    ("SQL, `SET PASSWORD`", "SET PASSWORD FOR anna = '§' RETAIN", Written::Twice),
    ("SQL, any name with `_`", "COPY t SECRET_ACCESS_KEY '§' GZIP", Written::Twice),
    ("SQL, an option", "OPTIONS (user 'anna', password '§')", Written::Twice),
    ("SQL, `IDENTIFIED BY`", "CREATE USER anna IDENTIFIED BY '§' ACCOUNT LOCK", Written::Twice),
    (
        "SQL, `IDENTIFIED` with a plugin",
        "ALTER USER anna IDENTIFIED WITH caching_sha2_password BY '§'",
        Written::Twice,
    ),
    ("SQL, argument of a hash function", "UPDATE users SET pw = crypt('§', gen_salt('bf'))", Written::Twice),
    ("JDBC, in braces", "jdbc:sqlserver://db;password={§} ;encrypt=true", Written::Plain),
    ("XML with attributes", "<Password Type=\"Text\">§</Password> end", Written::Xml),
    ("XML, name and value", "<add key=\"Password\" value=\"§\" /> end", Written::Backslash),
    ("PHP, a constant", "define('DB_PASSWORD', '§'); // end", Written::Twice),
    ("PHP, an array", "Array ( [password] => § ) end", Written::Plain),
    ("`.netrc`", "machine example.com login anna password § end", Written::Plain),
    ("a shell's or Terraform's text", "private_key = <<END\n§\nEND\nname = x", Written::Plain),
    ("a YAML block", "password: |\n  §\nuser: anna", Written::Plain),
    ("a form's part", "name=\"password\"\r\n\r\n§\r\n--end", Written::Plain),
    ("a header, to the end of the line", "Authorization: Digest §\nAccept: text/html", Written::Plain),
    ("a cookie", "Cookie: SID=§\nAccept: text/html", Written::Plain),
    ("a command-line option", "deploy --db-password § --verbose", Written::Plain),
    ("the same, with `=`", "deploy --db-password=§ --verbose", Written::Plain),
    ("a short option of mysql, sshpass, 7z", "mysql -u root -p§ shop", Written::Plain),
    ("a Windows option", "net use /user:anna /pass:§ x:", Written::Plain),
    ("a short option of docker login and others", "docker login -u anna -p § example.com", Written::Plain),
    ("a curl user", "curl -u anna:§ https://example.com", Written::Plain),
    ("the same, with `=`", "curl --user=anna:§ https://example.com", Written::Plain),
    ("a URL", "postgres://app:§@db.example.com:5432/app", Written::Plain),
];

/// Texts that stay unchanged.
const STAYS: &[(&str, &str)] = &[
    ("a word after a colon", "token: expired"),
    ("nothing after the sign", "password="),
    ("the result of masking", "password=***"),
    (
        "a placeholder",
        "password=<password>, token=${TOKEN}, password: {{ password }}, token=$TOKEN, password=none",
    ),
    ("a parameter of SQL", "password = ?, password = $1, password = :password, password = @p1"),
    ("a count", "max_tokens=4096, tokens: 128"),
    ("a result", "pass: 120/120"),
    ("an answer", "Has Sensitive Credentials: No"),
    (
        "names that end like a secret's name",
        "PublicKeyToken=b77a5c561934e089, ElevatedToken: %%1842, next_page_token=abc",
    ),
    (
        "a hash from Vault's audit log",
        "token=hmac-sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
    ),
    ("an AWS resource name", "secret=arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"),
    ("an access key id", "access_key=AKIAIOSFODNN7EXAMPLE"),
    ("a folder", "PWD=/home/anna"),
    ("a port, and a later `@`", "https://example.com:8443/@anna"),
    ("part of a path or of a name with colons", "system:serviceaccount:kube-system:token:a1b2"),
    ("a quoted word after the name of a secret other than a password", "unexpected token '}' in line 3"),
    ("a placeholder for a token", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ("a UUID, a hash", "018f3e1a-7c2b-7d4e-9f10-123456789abc, da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    ("digits that no card issuer uses", "order 9876543210987654"),
    ("a password in a sentence", "she used hunter2 as always"),
    ("percent-encoded or base64-encoded text", "password%3Dhunter2, cGFzc3dvcmQ9aHVudGVyMg=="),
];

/// Objects, for each kind of key.
const FIELDS: &[&str] = &[
    r#"{"password":"s3cr3t","pin":4711,"passwordResetRequired":true,"token":null}"#,
    r#"{"api_key":{"id":"key_1","user":{"email":"a@example.com"},"value":"s3cr3t"}}"#,
    r#"{"tokens":["s3cr3t"],"max_tokens":4096}"#,
    r#"{"authorization":{"action":"read","scope":"/x"}}"#,
    r#"{"accessKey":"AKIAIOSFODNN7EXAMPLE","secretKey":"s3cr3t"}"#,
    r#"{"clientToken":"5b7eff74","client_token":"s3cr3t"}"#,
    r#"{"Has Sensitive Credentials":"No"}"#,
    r#"{"pwd":"s3cr3t","PWD":"/home/anna","pass":"s3cr3t"}"#,
    r#"{"name":"DB_PASSWORD","value":"s3cr3t"}"#,
    r#"{"field":"password","old":"s3cr3t","new":"s3cr3t2"}"#,
    r#"{"secret":{"secretName":"db","defaultMode":420}}"#,
];

pub(super) fn written(secret: &str, how: Written) -> String {
    match how {
        Written::Plain => secret.to_owned(),
        Written::Backslash => secret.replace('\\', "\\\\").replace('"', "\\\""),
        Written::Twice => secret.replace('\'', "''"),
        Written::Percent => secret.replace('&', "%26").replace('#', "%23"),
        Written::Xml => secret.replace('&', "&amp;").replace('<', "&lt;"),
    }
}

fn code(text: &str) -> String {
    let text = text.replace('\n', "↵").replace('\t', "⇥").replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

fn names(kind: Kind) -> String {
    let names: Vec<String> =
        ENTRIES.iter().filter(|(_, of)| *of == kind).map(|(entry, _)| entry.replace('-', "…")).collect();
    names.join(", ")
}

/// The rules that recognise a prefix, in their order.
fn looks(table: &mut String) {
    let mut kinds: Vec<&str> = Vec::new();
    for rule in RULES {
        if !kinds.contains(&rule.kind) {
            kinds.push(rule.kind);
        }
    }
    for kind in kinds {
        let mut literals: Vec<String> =
            RULES.iter().filter(|rule| rule.kind == kind).map(|rule| code(rule.literal.trim())).collect();
        let mut seen = BTreeSet::new();
        literals.retain(|literal| seen.insert(literal.clone()));
        writeln!(table, "| by form | {kind} | {} | masked |", literals.join(" ")).unwrap();
    }
}

fn table() -> String {
    let masker = masker();
    let mut table = "| | what | sent | result |\n| --- | --- | --- | --- |\n".to_owned();
    for (what, kind) in [
        ("a key that names a secret", Kind::Secret),
        ("a key that names several, or their number", Kind::Secrets),
        ("a key that names a password, or a folder", Kind::Folder),
        ("a key that names a password, or a result", Kind::Question),
        ("a key that names an access key, or its id", Kind::AccessKey),
        ("a key that names several access keys, or their ids", Kind::AccessKeys),
    ] {
        writeln!(table, "| by key | {what} | {} | |", names(kind)).unwrap();
    }
    for sent in FIELDS {
        let mut event = Event::from_json(format!(r#"{{"action":"a","details":{sent}}}"#).as_bytes()).unwrap();
        masker.mask(&mut event);
        let left = event.details.to_string();
        let left = if left == *sent { "unchanged".to_owned() } else { code(&left) };
        writeln!(table, "| by key | | {} | {left} |", code(sent)).unwrap();
    }
    for (what, form, how) in FORMS {
        let sent = form.replace('§', &written("s3cr3t#1", *how));
        let left = left(&masker, &sent);
        assert!(!left.contains("s3cr3t"), "{sent}");
        writeln!(table, "| in a text | {what} | {} | {} |", code(&sent), code(&left)).unwrap();
    }
    looks(&mut table);
    writeln!(
        table,
        "| by form | card: an issuer's prefix and length, and a valid check digit | {} | {} |",
        code("paid with 4111 1111 1111 1111"),
        code(&left(&masker, "paid with 4111 1111 1111 1111"))
    )
    .unwrap();
    for (what, sent) in STAYS {
        assert_eq!(left(&masker, sent), *sent);
        writeln!(table, "| not a secret | {what} | {} | unchanged |", code(sent)).unwrap();
    }
    table
}

#[test]
fn the_page_has_the_table_that_the_rules_make() {
    let path = Path::new(PAGE);
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has the table's beginning");
    let (kept, after) = rest.split_once(END).expect("the page has the table's end");
    let table = format!("\n{}\n", table());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(kept == table, "docs/masking.md differs from the rules; {}", BEGIN.trim());
}
