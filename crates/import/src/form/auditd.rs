//! The log of the Linux audit daemon: `type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e …`.
//!
//! One event takes several lines, one for each part, all with the same time and serial number. The record has an object
//! for each part, under its type; a type that comes twice, such as `PATH`, has a list. The texts that the daemon wrote in
//! hexadecimal digits, because of a blank or a quote in them, are texts again.

use trailseal_event::{Object, Value};

use super::logfmt;

/// The time and serial number of a line: what is between `msg=audit(` and `)`.
pub(super) fn key(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if !(line.starts_with("type=") || line.starts_with("node=")) {
        return None;
    }
    let (head, rest) = line.split_once("msg=audit(")?;
    let key = rest.split(')').next()?;
    (head.contains("type=") && head.len() < 512 && key.contains(':')).then_some(key)
}

/// Whether two lines are of one event.
pub(super) fn is_same(record: &[u8], next: &[u8]) -> bool {
    let of = |bytes| std::str::from_utf8(bytes).ok().and_then(key);
    of(record).is_some_and(|record| Some(record) == of(next))
}

pub(super) fn read(text: &str) -> Option<Object> {
    let mut object = Object::default();
    let mut types: Vec<Value> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let key = key(line)?;
        let (head, rest) = line.split_once("msg=audit(")?;
        let fields = rest.split_once(')').map_or("", |(_, rest)| rest.trim_start_matches(':'));
        let mut kind = "";
        for pair in logfmt::pairs(head) {
            match (pair.key, pair.value) {
                ("type", Some(_)) => {
                    kind = head.split("type=").nth(1)?.split_ascii_whitespace().next()?;
                }
                ("node", Some(node)) => _ = object.insert("node", node),
                _ => {}
            }
        }
        if types.is_empty() {
            let (time, serial) = key.rsplit_once(':')?;
            object.insert("time", time);
            object.insert("serial", serial);
            object.insert("type", kind);
        }
        types.push(kind.into());
        insert(&mut object, kind, part(kind, fields));
    }
    let first = !types.is_empty();
    object.insert("types", Value::Array(types));
    first.then_some(object)
}

/// The fields of one line. What a program says in `msg='…'` stands among them.
fn part(kind: &str, fields: &str) -> Object {
    let mut object = Object::default();
    for pair in logfmt::pairs(fields) {
        let Some(value) = pair.value else { continue };
        if pair.key == "msg" && value.contains('=') {
            for inner in logfmt::pairs(&value) {
                if let Some(value) = inner.value {
                    object.insert(inner.key, decoded(kind, inner.key, value, inner.is_quoted));
                }
            }
        } else {
            object.insert(pair.key, decoded(kind, pair.key, value, pair.is_quoted));
        }
    }
    object
}

/// The fields whose texts come from outside, so that the daemon writes them in quotes or in hexadecimal digits. Not the keys
/// that were typed at a terminal, which `TTY` has: they may be a password.
const FROM_OUTSIDE: [&str; 12] =
    ["acct", "cmd", "comm", "cwd", "exe", "file", "name", "path", "proctitle", "root_dir", "sw", "vm"];

/// The value, as a text again if it is in hexadecimal digits.
fn decoded(kind: &str, key: &str, value: String, is_quoted: bool) -> String {
    let is_argument =
        || kind == "EXECVE" && key.strip_prefix('a').is_some_and(|number| number.parse::<u32>().is_ok());
    if is_quoted || !(FROM_OUTSIDE.contains(&key) || is_argument()) {
        return value;
    }
    // Digits alone are an account's name or number, unless there are more than either has.
    let is_number = key == "acct" && value.len() <= 10 && value.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { value } else { text_of(&value).unwrap_or(value) }
}

/// What hexadecimal digits say, if that is a text. NUL stands between the arguments of a command.
fn text_of(digits: &str) -> Option<String> {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() || !pairs.iter().flatten().all(is_digit) {
        return None;
    }
    let value = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' + 10 };
    let bytes = pairs.iter().map(|&[high, low]| value(high) << 4 | value(low)).collect();
    let text = String::from_utf8(bytes).ok()?;
    let text = text.trim_end_matches('\0').replace('\0', " ");
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}

fn insert(object: &mut Object, kind: &str, part: Object) {
    let part = Value::Object(part);
    match object.get_mut(kind) {
        Some(Value::Array(list)) => list.push(part),
        Some(known) => {
            let first = std::mem::take(known);
            *known = Value::Array(vec![first, part]);
        }
        None => _ = object.insert(kind, part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = r#"type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e syscall=2 success=no exit=-13 uid=500 comm="cat" key="sshd_config""#;
    const PATH: &str =
        r#"type=PATH msg=audit(1364481363.243:24287): item=0 name="/etc/ssh/sshd_config" nametype=NORMAL"#;
    const LOGIN: &str = r#"node=web1 type=USER_LOGIN msg=audit(1364481364.1:24288): pid=1 uid=0 msg='op=login acct="chen" exe="/usr/sbin/sshd" addr=10.0.0.7 res=failed'"#;

    #[test]
    fn the_lines_of_one_event_are_one_record() {
        assert!(is_same(CALL.as_bytes(), PATH.as_bytes()));
        assert!(!is_same(CALL.as_bytes(), LOGIN.as_bytes()));
        let found = read(&format!("{CALL}\n{PATH}\n{PATH}")).expect("an event");
        assert_eq!(found.get("type").and_then(Value::as_str), Some("SYSCALL"));
        let value = Value::Object(found);
        assert_eq!(value.get_path("SYSCALL.success").and_then(Value::as_str), Some("no"));
        assert_eq!(value.get_path("PATH.1.name").and_then(Value::as_str), Some("/etc/ssh/sshd_config"));
        assert_eq!(value.get_path("time").and_then(Value::as_str), Some("1364481363.243"));
        let login = Value::Object(read(LOGIN).expect("an event"));
        assert_eq!(login.get_path("USER_LOGIN.acct").and_then(Value::as_str), Some("chen"));
        assert_eq!(login.get_path("node").and_then(Value::as_str), Some("web1"));
        assert!(read("type=x").is_none());
    }

    #[test]
    fn texts_in_hexadecimal_digits_are_texts() {
        let found = |line: &str, path: &str| {
            let value = Value::Object(read(&format!("type={line}")).expect("an event"));
            value.get_path(path).and_then(Value::as_str).map(str::to_owned)
        };
        let check = |line: &str, path: &str, expected: &str| {
            assert_eq!(found(line, path).as_deref(), Some(expected), "{line}")
        };
        let at = "msg=audit(1.0:1):";
        check(&format!("PROCTITLE {at} proctitle=6C73002D6C002F746D70"), "PROCTITLE.proctitle", "ls -l /tmp");
        check(
            &format!("USER_CMD {at} msg='cwd=\"/\" cmd=636174202F657463 res=success'"),
            "USER_CMD.cmd",
            "cat /etc",
        );
        check(&format!("EXECVE {at} argc=1 a0=C3A920C3A9"), "EXECVE.a0", "\u{e9} \u{e9}");
        check(&format!("USER_ACCT {at} acct=4A206B"), "USER_ACCT.acct", "J k");
        check(&format!("USER_ACCT {at} acct=616263646566"), "USER_ACCT.acct", "abcdef");
        // In quotes, numbers, of another field, no text.
        check(&format!("SYSCALL {at} a0=6C73 comm=\"6C73\""), "SYSCALL.a0", "6C73");
        check(&format!("SYSCALL {at} a0=6C73 comm=\"6C73\""), "SYSCALL.comm", "6C73");
        for other in ["root", "6C7", "6c73", "FFFE", "0A0D", "00", "4455", "1234567890"] {
            check(&format!("USER_ACCT {at} acct={other}"), "USER_ACCT.acct", other);
        }
        check(&format!("TTY {at} data=7061737300"), "TTY.data", "7061737300");
    }
}
