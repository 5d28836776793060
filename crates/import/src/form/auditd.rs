//! The log of the Linux audit daemon: `type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e …`.
//!
//! One event takes several lines, one for each part, all with the same time and serial number. The record has an object
//! for each part, under its type; a type that comes twice, such as `PATH`, has a list.

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
        insert(&mut object, kind, part(fields));
    }
    let first = !types.is_empty();
    object.insert("types", Value::Array(types));
    first.then_some(object)
}

/// The fields of one line. What a program says in `msg='…'` stands among them.
fn part(fields: &str) -> Object {
    let mut object = Object::default();
    for pair in logfmt::pairs(fields) {
        let Some(value) = pair.value else { continue };
        if pair.key == "msg" && value.contains('=') {
            for inner in logfmt::pairs(&value) {
                if let Some(value) = inner.value {
                    object.insert(inner.key, value);
                }
            }
        } else {
            object.insert(pair.key, value);
        }
    }
    object
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
}
