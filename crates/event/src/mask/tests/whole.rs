//! A secret goes whole, or is not called masked: generated ones of every printable character, in every documented form.

use proptest::prelude::*;

use super::effort::triggers;
use super::table::{FORMS, Written, written};
use super::{left, masker, numbers};
use crate::event::{Event, Object, Value};
use crate::line;
use crate::timestamp::Timestamp;

/// Secrets of all printable characters but blank. One that begins with a quote is a value in quotes by its form.
fn secrets(count: usize) -> Vec<String> {
    let mut rng = numbers();
    let mut secret = || -> String {
        let len = 6 + (rng.next_u32() % 18) as usize;
        (0..len).map(|_| char::from(b'!' + (rng.next_u32() % 94) as u8)).collect()
    };
    let is_bare = |secret: &String| {
        !secret
            .trim_start_matches(['\\', '=', '>', 'N', 'n', '@', 'b', 'B', 'e', 'E', 'r', 'R', 'u', 'U'])
            .starts_with(['"', '\'', '`'])
    };
    let mut all: Vec<String> = std::iter::repeat_with(&mut secret).filter(is_bare).take(count).collect();
    // Each character once at each place.
    for character in (b'!'..=b'~').map(char::from) {
        all.extend([
            format!("aB1{character}#4*@51%"),
            format!("aB1#4*@51%{character}"),
            format!("7Qm{character}x"),
        ]);
        if is_bare(&character.to_string()) {
            all.push(format!("{character}aB1x#4*@51%"));
        }
    }
    all
}

/// Whether the secret is left as it was, or nothing of it: what stands before it stays, and behind it all may go.
fn is_whole(sent: &str, left: &str, before: &str, after: &str) -> bool {
    if left == sent {
        return true;
    }
    let starts = (before.len().saturating_sub(8)..=before.len()).any(|len| {
        before.get(..len).is_some_and(|start| {
            left.strip_prefix(start)
                .and_then(|rest| rest.strip_prefix("***"))
                .is_some_and(|rest| after.ends_with(rest))
        })
    });
    starts && left.len() <= sent.len() + 3
}

#[test]
fn generated_secrets_go_whole_in_every_documented_form() {
    let masker = masker();
    let mut parts = Vec::new();
    for (what, form, how) in FORMS {
        let (before, after) = form.split_once('§').unwrap();
        let (mut gone, mut all) = (0, 0);
        for secret in secrets(400) {
            // A brace in braces is written twice, or the value would end there.
            if form.contains("{§}") && secret.contains('}') && !secret.contains('{') {
                continue;
            }
            // Behind a tab alone this is the sign.
            if before.ends_with("password\t") && secret.starts_with(['=', ':', '>', '(']) {
                continue;
            }
            let value = written(&secret, *how);
            let sent = format!("{before}{value}{after}");
            let left = left(&masker, &sent);
            if !is_whole(&sent, &left, before, after) && parts.len() < 40 {
                parts.push(format!("{what}: {sent}\n{left}"));
            }
            gone += usize::from(left != sent);
            all += 1;
        }
        if gone * 100 < all * 93 {
            parts.push(format!("{what}: only {gone} of {all} go"));
        }
    }
    assert!(parts.is_empty(), "{}", parts.join("\n"));
}

#[test]
fn secrets_of_public_reports_go_whole() {
    let masker = masker();
    let mut differ = Vec::new();
    for (text, expected) in [
        ("password = 7QmxK#4*@51%", "password = ***"),
        ("PASSWORD = N'hunter2'", "PASSWORD = N'***'"),
        ("SET password = crypt('hunter2', gen_salt('bf'))", "SET password = *** gen_salt('bf'))"),
        ("SET password = crypt('hun ter2', gen_salt('bf'))", "SET password = *** gen_salt('bf'))"),
        ("url=jdbc:sqlserver://h;password={p;w}d};encrypt=true x", "url=jdbc:sqlserver://h;password=*** x"),
        ("pwd={Password 12!};uid=sa;", "pwd=***"),
        ("password: Ab1#Zz", "password: ***"),
        ("--password Tr0ub4dor&3;x", "--password ***"),
        ("GET /x?password=a\"b'c)d;e&n=1", "GET /x?password=***&n=1"),
        ("passphrase=correct horse battery\nnext", "passphrase=***\nnext"),
        ("passphrase: correct horse battery", "passphrase: ***"),
        ("PASSWORD 'hunter2'", "PASSWORD '***'"),
        ("password 'it''s #1' VALID", "password '***' VALID"),
        ("IDENTIFIED BY hunter2 ACCOUNT", "IDENTIFIED BY *** ACCOUNT"),
        ("identified by password '*94BDCEBE19083CE2'", "identified by password '***'"),
        ("OPTIONS (password 'hunter2')", "OPTIONS (password '***')"),
        ("{\"password\"=>\"hunter2\", \"n\"=>1}", "{\"password\"=>\"***\", \"n\"=>1}"),
        ("{:password=>\"hunter2\"}", "{:password=>\"***\"}"),
        ("map[password:hunter user:y]", "map[password:*** user:y]"),
        ("map[Authorization:[Bearer abc] Accept:[x]]", "map[Authorization:[***] Accept:[x]]"),
        ("<password>hunter2</password>", "<password>***</password>"),
        ("<ns:Password>a b</ns:Password>", "<ns:Password>***</ns:Password>"),
        ("password:x1y2", "password:***"),
        ("password\thunter2", "password\t***"),
        ("mysqldump -u root -phunter2 shop", "mysqldump -u root -p*** shop"),
        ("sshpass -p 'a b' ssh h", "sshpass -p '***' ssh h"),
        ("net use x: /pass:a#b", "net use x: /pass:***"),
        ("runas /user:a /password:a#bc", "runas /user:a /password:***"),
        ("postgres://app:pa/ss#w?d@db.example.com/app", "postgres://app:***@db.example.com/app"),
        ("postgres://user:oRAND44@leaked_part@host:5432/db", "postgres://user:***@host:5432/db"),
        ("postgresql://user:password@host:5432/mydb?foo=b@r", "postgresql://user:***@host:5432/mydb?foo=b@r"),
        ("https://u:pw@example.com/@anna", "https://u:***@example.com/@anna"),
        ("https://u:p@s/s@host/x", "https://u:***@host/x"),
        ("redis://:12/34@cache", "redis://:***@cache"),
        ("curl --user 'johns:h0pk1ns~21s' $URL", "curl --user 'johns:***' $URL"),
        ("Env: [\"A=b\",\"PASSWORD=a c\",\"C=d\"]", "Env: [\"A=b\",\"PASSWORD=***\",\"C=d\"]"),
        ("-H \"Cookie: a=b; c=d\" -v", "-H \"Cookie: ***\" -v"),
        ("${DB_PASSWORD:-x} password=${DB_PASSWORD:-hunter2}", "${DB_PASSWORD:-x} password=***"),
        ("login(password=\"hunter2\", user=\"anna\")", "login(password=\"***\", user=\"anna\")"),
        // What begins like a parameter of SQL.
        ("password=?/kX9!aa88", "password=***"),
        ("password=?.kX9", "password=***"),
        ("password=:abc/kX9", "password=***"),
        ("password=$1/kX9", "password=***"),
        ("password=@p1:kX9", "password=***"),
        ("app:p=w:x9@tcp(db:3306)/app", "app:***@tcp(db:3306)/app"),
        ("password: !!str \"correct horse battery\"", "password: ***"),
        ("password: !!str |\n  a b\nuser: x", "password: ***\nuser: x"),
        ("key = x\nprivate_key = <<\"END\"\na b\nEND\nn = 1", "key = x\nprivate_key = ***\nEND\nn = 1"),
        ("password: |2-\n  a b\nuser: x", "password: ***\nuser: x"),
        ("password: | # c\n  a b\nuser: x", "password: ***\nuser: x"),
        ("- password: |\n    a b\n  user: x", "- password: ***\n  user: x"),
        ("<Password Type=\"Text\">Password1!</Password>", "<Password Type=\"Text\">***</Password>"),
        ("<Password\n Type=\"Text\">a1</Password>", "<Password\n Type=\"Text\">***</Password>"),
        ("<Password a=\"b\"><![CDATA[a1]]></Password>", "<Password a=\"b\">***</Password>"),
        ("curl 'https://h/?a=1&b=2' -u anna:pw1", "curl 'https://h/?a=1&b=2' -u anna:***"),
        ("cd /x; /usr/bin/mysql -phunter2", "cd /x; /usr/bin/mysql -p***"),
        ("smtp_pass=12345678", "smtp_pass=***"),
    ] {
        let left = left(&masker, text);
        if left != expected {
            differ.push(format!("{text}\n  left {left}\n  not  {expected}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// A text between tags goes whole, however long it is and whatever the tag says.
#[test]
fn long_texts_between_tags_go_whole() {
    let masker = masker();
    for len in [1, 200, 256, 300, 5_000] {
        let secret = "aB1+".repeat(len);
        for tags in [
            "<wsse:BinarySecurityToken ValueType=\"x509\">§</wsse:BinarySecurityToken>",
            "<api_key\n  id='1'>§</api_key>",
            "<Password a=\"b\">\n<![CDATA[§]]></Password>",
            "<password>§</password>",
        ] {
            let text = format!("<a>fine</a>{tags}<b>fine</b>").replace('§', &secret);
            let left = left(&masker, &text);
            assert!(!left.contains("aB1+") && left.contains("***"), "{len}: {left:.300}");
            assert!(left.starts_with("<a>fine</a><") && left.ends_with("><b>fine</b>"), "{len}: {left:.300}");
        }
    }
}

/// One member names what another holds, wherever the object is, and in whatever order its members are.
#[test]
fn what_another_member_names_goes() {
    let masker = masker();
    let check = |parts: &str, expected: &str, masked: &[&str]| {
        let json = format!(r#"{{"action":"a",{parts}}}"#);
        let mut rest = Vec::new();
        assert!(
            masked.is_empty()
                || line::rewrite_clean(&masker, json.as_bytes(), Timestamp::from_micros(0), &mut rest)
                    .is_none(),
            "nobody would have looked: {json}"
        );
        let mut event = Event::from_json(json.as_bytes()).unwrap();
        assert!(masked.is_empty() || masker.has_key(&event) || masker.text_has(json.as_bytes()), "{json}");
        assert_eq!(masker.mask(&mut event), masked, "{json}");
        let left = String::from_utf8(event.to_json()).unwrap();
        assert!(left.contains(expected), "{left}");
        assert!(masker.mask(&mut event).is_empty(), "masked again: {left}");
    };
    check(
        r#""details":{"environment":[{"name":"DB_PASSWORD","value":"x"},{"value":"y","Name":"API_KEY"}]}"#,
        r#"[{"name":"DB_PASSWORD","value":"***"},{"value":"***","Name":"API_KEY"}]"#,
        &["details.environment.0.value", "details.environment.1.value"],
    );
    check(
        r#""changes":[{"field":"password","old":"x","new":"y"},{"op":"replace","path":"/user/token","value":"z"}]"#,
        r#"[{"field":"password","old":"***","new":"***"},{"op":"replace","path":"/user/token","value":"***"}]"#,
        &["changes.0.old", "changes.0.new", "changes.1.value"],
    );
    check(
        r#""before":{"env":{"name":"DB_PASSWORD","value":"x"}},"after":{"env":{"name":"DB_PASSWORD","value":"y"}}"#,
        r#""changes":{"env.value":{"before":"***","after":"***"}}"#,
        &["before.env.value", "after.env.value", "changes.env.value.before", "changes.env.value.after"],
    );
    check(
        r#""details":{"text":"{\"key\":\"password\",\"newValue\":\"x\"}"}"#,
        r#"\"newValue\":\"***\""#,
        &["details.text"],
    );
    // A key with a backslash of its own, and one too long to be kept whole.
    check(
        r#""before":{"a\\b":{"name":"PIN","value":"x"}},"after":{"a\\b":{"name":"PIN","value":"y"}}"#,
        r#""changes":{"a\\\\b.value":{"before":"***","after":"***"}}"#,
        &[
            "before.a\\b.value",
            "after.a\\b.value",
            "changes.a\\\\b.value.before",
            "changes.a\\\\b.value.after",
        ],
    );
    check(r#""name":"token","value":"x""#, r#""name":"token","value":"***""#, &["value"]);
    for stays in [
        r#""details":{"name":"DB_PASSWORD","valueFrom":{"secretKeyRef":{"name":"db","key":"password"}}}"#,
        r#""details":{"key":"team","value":"password reset"}"#,
        r#""details":{"resource":"secrets","name":"registry-credentials","namespace":"kube-system"}"#,
        r#""details":{"name":"Has Sensitive Credentials","value":"No"}"#,
        r#""details":{"name":"max_tokens","value":4096}"#,
        r#""details":{"path":"/oauth/token","method":"POST","from":"10.0.0.7","to":"api-1"}"#,
        r#""details":{"path":"/oauth/token","value":"x"}"#,
        r#""details":{"name":"API token","from":"2026-01-01","to":"2026-12-31"}"#,
        r#""details":{"name":"allow_user_change_password","value":"enabled"}"#,
        r#""details":{"name":"require_token","value":"optional"}"#,
        r#""details":{"name":"reset_password","from":"web","to":"mail"}"#,
        r#""details":{"field":"Failed PIN","old":2,"new":3}"#,
        r#""details":{"userpass/":{"accessor":"auth_userpass_1","config":{"default_lease_ttl":0}}}"#,
    ] {
        check(stays, stays, &[]);
    }
}

/// Derived changes know a named value by the beginning of its path, too.
#[test]
fn what_another_member_names_goes_at_the_end_of_a_long_path() {
    let long = "k".repeat(600);
    let side = |value: &str| format!(r#"{{"{long}":{{"name":"DB_PASSWORD","value":"{value}"}}}}"#);
    let json = format!(r#"{{"action":"a","before":{},"after":{}}}"#, side("K1SECRET"), side("K2SECRET"));
    let mut event = Event::from_json(json.as_bytes()).unwrap();
    masker().mask(&mut event);
    let left = String::from_utf8(event.to_json()).unwrap();
    assert!(left.contains("changes") && !left.contains("SECRET"), "{left}");
}

/// `masked` names what was changed, no more and no less.
#[test]
fn masked_names_exactly_the_texts_that_were_changed() {
    let masker = masker();
    let mut rng = numbers();
    let words = [
        "plain",
        "ok 4711",
        "token: expired",
        "password=x",
        "redis://:pw@h",
        "***",
        "",
        "{\"a\":1}",
        "{\"pin\":\"1\"}",
        "--password ***",
        "max_tokens=5",
    ];
    for _ in 0..300 {
        let mut object = Object::new();
        for number in 0..8 {
            let word = words[rng.next_u32() as usize % words.len()];
            let key = ["note", "password", "tokens", "id"][rng.next_u32() as usize % 4];
            object.insert(format!("{key}{number}"), Value::from(word));
            object.insert(format!("list{number}"), Value::from(vec![word, "ok"]));
        }
        let mut event = Event::new("a");
        event.details = object.clone();
        let mut expected = Vec::new();
        let masked = masker.mask(&mut event);
        for ((key, old), (_, new)) in object.iter().zip(event.details.iter()) {
            match (old, new) {
                (Value::Array(old), Value::Array(new)) => {
                    let changed = old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new);
                    expected.extend(changed.map(|(place, _)| format!("details.{key}.{place}")));
                }
                _ if old != new => expected.push(format!("details.{key}")),
                _ => {}
            }
        }
        assert_eq!(masked, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Asked by [`left`] of whatever stands together.
    #[test]
    fn what_is_masked_was_noticed_and_is_masked_once(
        parts in proptest::collection::vec((0..10_000_usize, "[ -~\\n\\t]{0,6}"), 1..7),
    ) {
        let triggers = triggers();
        let text: String =
            parts.iter().map(|(number, more)| format!("{}{more}", triggers[number % triggers.len()])).collect();
        left(&masker(), &text);
    }
}

#[test]
fn every_way_a_value_is_written_is_used() {
    for how in [Written::Plain, Written::Backslash, Written::Twice, Written::Percent, Written::Xml] {
        assert!(FORMS.iter().any(|(.., used)| *used == how));
    }
}

/// The bytes `t_` and a tab have the hash of an anchor by chance; with the tab escaped they have not.
#[test]
fn a_key_that_only_has_the_hash_of_one_is_none() {
    let text = "secret_\tqpplx-.~e";
    assert_eq!(left(&masker(), text), text);
}
