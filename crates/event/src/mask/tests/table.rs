//! The table of docs/masking.md: made from the rules, and from what the masker does with an example of each form.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p trailseal-event --lib mask::tests::table` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use super::{left, masker};
use crate::event::Event;
use crate::mask::keys::ENTRIES;
use crate::mask::kind::Kind;
use crate::mask::rules::RULES;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/masking.md");
const BEGIN: &str = "<!-- Made from the rules. To make it anew: UPDATE_SNAPSHOTS=1 cargo test -p trailseal-event --lib mask::tests::table -->\n";
const END: &str = "<!-- The end of what is made from the rules. -->\n";

/// How a value is written in a form, so that it ends where the form says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// As it is.
    Plain,
    /// With a backslash before a double quote and a backslash.
    Backslash,
    /// With each single quote twice.
    Twice,
    /// With `%26` for `&` and `%23` for `#`.
    Percent,
    /// With `&lt;` for `<`.
    Xml,
}

/// Forms of a key and a value in a text: what it is, and a text in which `§` stands for the secret.
pub(super) const FORMS: &[(&str, &str, Written)] = &[
    ("`key=value`, to the next blank", "connect password=§ as anna", Written::Plain),
    ("the same, with blanks", "PASSWORD = § for anna", Written::Plain),
    ("of a connection", "Uid=app; Pwd=§ ;Encrypt=true", Written::Plain),
    ("of a shell", "DB_PASSWORD=§ ./run.sh", Written::Plain),
    ("`key: value`, where it is no plain word", "DB_PASSWORD: § was set", Written::Plain),
    ("`key:value`, the same", "login with password:§ failed", Written::Plain),
    ("a tab", "password\t§ was set", Written::Plain),
    ("a tab behind the sign", "password:\t§ was set", Written::Plain),
    ("a map of Go", "map[password:§ user:anna]", Written::Plain),
    ("a passphrase, to the end of its line", "passphrase=§ correct horse", Written::Plain),
    (
        "a parameter of a URL, to `&` or `#`",
        "GET /login?user=anna&password=§&page=2 HTTP/1.1",
        Written::Percent,
    ),
    ("a fragment of a URL", "https://example.com/#access_token=§&page=2", Written::Percent),
    ("in quotes", "login(user=\"anna\", password=\"§\", port=5)", Written::Backslash),
    ("in quotes, around both", "curl -d \"password=§\" https://example.com", Written::Backslash),
    ("in single quotes", "password='§' and more", Written::Twice),
    ("of JSON", "sent {\"password\":\"§\",\"n\":1} to it", Written::Backslash),
    ("of JSON in JSON, and nothing around it", "{\"user\":\"anna\",\"password\":\"§\"}", Written::Backslash),
    ("of Python", "sent {'user': 'anna', 'password': \"§\"}", Written::Backslash),
    ("of Ruby", "sent {\"user\"=>\"anna\", \"password\"=>\"§\"}", Written::Backslash),
    ("of XML", "<user>anna</user><password>§</password>", Written::Xml),
    ("of SQL", "ALTER USER anna WITH PASSWORD '§' NOLOGIN", Written::Twice),
    ("of SQL, national characters", "ALTER LOGIN anna WITH PASSWORD = N'§' UNLOCK", Written::Twice),
    ("of SQL, an option", "OPTIONS (user 'anna', password '§')", Written::Twice),
    ("of SQL, identified", "CREATE USER anna IDENTIFIED BY '§' ACCOUNT LOCK", Written::Twice),
    (
        "of SQL, identified with a plugin",
        "ALTER USER anna IDENTIFIED WITH caching_sha2_password BY '§'",
        Written::Twice,
    ),
    ("of SQL, hashed there", "UPDATE users SET pw = crypt('§', gen_salt('bf'))", Written::Twice),
    ("of JDBC, in braces", "jdbc:sqlserver://db;password={§} ;encrypt=true", Written::Plain),
    ("a header, to the end of its line", "Authorization: Digest §\nAccept: text/html", Written::Plain),
    ("a cookie", "Cookie: SID=§\nAccept: text/html", Written::Plain),
    ("an option", "deploy --db-password § --verbose", Written::Plain),
    ("an option, joined", "deploy --db-password=§ --verbose", Written::Plain),
    ("a short option of mysql, sshpass, 7z", "mysql -u root -p§ shop", Written::Plain),
    ("an option of Windows", "net use /user:anna /pass:§ x:", Written::Plain),
    ("a user of curl", "curl -u anna:§ https://example.com", Written::Plain),
    ("a URL", "postgres://app:§@db.example.com:5432/app", Written::Plain),
];

/// Texts that stay as they are.
const STAYS: &[(&str, &str)] = &[
    ("a word behind a colon", "token: expired"),
    ("nothing behind the sign", "password="),
    ("what masking left", "password=***"),
    (
        "a placeholder",
        "password=<password>, token=${TOKEN}, password: {{ password }}, token=$TOKEN, password=none",
    ),
    ("a count", "max_tokens=4096, tokens: 128"),
    ("an answer", "Has Sensitive Credentials: No"),
    (
        "names that end like a secret's",
        "PublicKeyToken=b77a5c561934e089, ElevatedToken: %%1842, next_page_token=abc",
    ),
    (
        "a hash of Vault's log",
        "token=hmac-sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
    ),
    ("the name of something at AWS", "secret=arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"),
    ("the id of an access key", "access_key=AKIAIOSFODNN7EXAMPLE"),
    ("a folder", "PWD=/home/anna"),
    ("a port, and a sign further on", "https://example.com:8443/@anna"),
    ("part of a path, or of a name with colons", "system:serviceaccount:kube-system:token:a1b2"),
    ("a word in quotes behind another secret's name than a password's", "unexpected token '}' in line 3"),
    ("a placeholder of a token", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ("a UUID, a hash", "018f3e1a-7c2b-7d4e-9f10-123456789abc, da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    ("digits that no issuer gives out", "order 9876543210987654"),
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
    r#"{"name":"DB_PASSWORD","value":"s3cr3t"}"#,
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
    let names: Vec<&str> = ENTRIES
        .iter()
        .filter(|(_, of)| *of == kind)
        .map(|(entry, _)| entry.trim_start_matches('-'))
        .collect();
    names.join(", ")
}

/// The rules that a prefix is known by, in their order.
fn looks(table: &mut String) {
    let mut kinds: Vec<&str> = Vec::new();
    for rule in RULES {
        if !kinds.contains(&rule.kind) {
            kinds.push(rule.kind);
        }
    }
    for kind in kinds {
        let literals: Vec<String> =
            RULES.iter().filter(|rule| rule.kind == kind).map(|rule| code(rule.literal.trim())).collect();
        writeln!(table, "| by its looks | {kind} | {} | goes |", literals.join(" ")).unwrap();
    }
}

fn table() -> String {
    let masker = masker();
    let mut table = "| | what | sent | left |\n| --- | --- | --- | --- |\n".to_owned();
    for (what, kind) in [
        ("names of one", Kind::Secret),
        ("names of several, or of how many", Kind::Secrets),
        ("names of a key and its id", Kind::AccessKey),
        ("names of several keys and their ids", Kind::AccessKeys),
    ] {
        writeln!(table, "| by key | {what} | {} | |", names(kind)).unwrap();
    }
    for sent in FIELDS {
        let mut event = Event::from_json(format!(r#"{{"action":"a","details":{sent}}}"#).as_bytes()).unwrap();
        masker.mask(&mut event);
        let left = event.details.to_string();
        let left = if left == *sent { "stays".to_owned() } else { code(&left) };
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
        "| by its looks | card: an issuer's beginning and length, the check digit | {} | {} |",
        code("paid with 4111 1111 1111 1111"),
        code(&left(&masker, "paid with 4111 1111 1111 1111"))
    )
    .unwrap();
    for (what, sent) in STAYS {
        assert_eq!(left(&masker, sent), *sent);
        writeln!(table, "| no secret | {what} | {} | stays |", code(sent)).unwrap();
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
