//! Syslog lines: RFC 5424, RFC 3164, and what syslog daemons write into files.

use trailseal_event::{Object, Value};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The header of a line, and the message behind it.
struct Header<'t> {
    object: Object,
    message: &'t str,
}

/// The header that a line begins with, and the message behind it.
pub(super) fn split(text: &str) -> Option<(Object, &str)> {
    header(text).map(|Header { object, message }| (object, message))
}

/// The header of a line whose message has begun; empty if there is none.
pub(super) fn header_alone(text: &str) -> Object {
    header(&format!("{text}-")).map(|header| header.object).unwrap_or_default()
}

fn header(text: &str) -> Option<Header<'_>> {
    let text = without_frame(text);
    let mut object = Object::default();
    let Some((priority, rest)) = priority(text) else { return plain(object, text) };
    object.insert("facility", FACILITIES[usize::from(priority >> 3)]);
    object.insert("severity", SEVERITIES[usize::from(priority & 7)]);
    match rest.strip_prefix("1 ") {
        Some(rest) => structured(object, rest),
        None => plain(object, rest.trim_start()),
    }
}

/// Behind the count of bytes that some senders put in front (RFC 6587).
fn without_frame(text: &str) -> &str {
    let behind = text.trim_start_matches(|byte: char| byte.is_ascii_digit());
    match behind.strip_prefix(' ') {
        Some(framed) if framed.starts_with('<') && behind.len() < text.len() => framed,
        _ => text,
    }
}

fn priority(text: &str) -> Option<(u8, &str)> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u8 = number.parse().ok().filter(|number| is_number && *number < 192)?;
    Some((number, rest))
}

/// RFC 5424: `TIME HOST APP PID MSGID [data] message`, where `-` is nothing.
fn structured(mut object: Object, text: &str) -> Option<Header<'_>> {
    let mut rest = text;
    for name in ["time", "host", "app", "pid", "msgid"] {
        let (value, behind) = rest.split_once(' ')?;
        rest = behind;
        if value != "-" {
            object.insert(name, value);
        }
    }
    let rest = match rest.strip_prefix('-') {
        Some(rest) => rest,
        None => {
            let (data, rest) = data(rest)?;
            object.insert("data", Value::Object(data));
            rest
        }
    };
    let message = rest.strip_prefix(' ').unwrap_or(rest);
    Some(Header { object, message: message.strip_prefix('\u{feff}').unwrap_or(message) })
}

/// `[id name="value"…]…`
fn data(text: &str) -> Option<(Object, &str)> {
    let mut elements = Vec::new();
    let mut rest = text;
    while let Some(behind) = rest.strip_prefix('[') {
        let end = behind.find([' ', ']'])?;
        let id = &behind[..end];
        rest = &behind[end..];
        let mut parameters = Vec::new();
        while let Some(behind) = rest.strip_prefix(' ') {
            let (name, behind) = behind.trim_start().split_once("=\"")?;
            let (value, behind) = parameter(behind)?;
            parameters.push((name, value));
            rest = behind;
        }
        rest = rest.strip_prefix(']')?;
        elements.push((id, Value::Object(parameters.into_iter().collect())));
    }
    let is_ended = rest.is_empty() || rest.starts_with(' ');
    (is_ended && !elements.is_empty()).then(|| (elements.into_iter().collect(), rest))
}

/// The value up to its closing quote.
fn parameter(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                escaped if matches!(escaped, '"' | '\\' | ']') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
    None
}

/// RFC 3164, also with a better time in front: `Oct 11 22:14:15 HOST APP[PID]: message`.
fn plain(mut object: Object, text: &str) -> Option<Header<'_>> {
    let (time, rest) = time(text)?;
    object.insert("time", time);
    let (host, rest) = rest.trim_start().split_once(' ')?;
    object.insert("host", host.trim_end_matches(':'));
    let rest = rest.trim_start();
    let end = rest.find(|byte: char| byte.is_whitespace() || matches!(byte, ':' | '[')).unwrap_or(rest.len());
    let (app, behind) = rest.split_at(end);
    let (pid, behind) = match behind.strip_prefix('[').and_then(|behind| behind.split_once(']')) {
        Some((pid, behind)) => (Some(pid), behind),
        None => (None, behind),
    };
    let Some(message) = behind.strip_prefix(':').filter(|_| !app.is_empty()) else {
        return Some(Header { object, message: rest });
    };
    object.insert("app", app);
    if let Some(pid) = pid {
        object.insert("pid", pid);
    }
    Some(Header { object, message: message.strip_prefix(' ').unwrap_or(message) })
}

/// The time that a line begins with, as it is written, and what follows.
fn time(text: &str) -> Option<(&str, &str)> {
    // A time of RFC 3339 is followed by a host.
    if let Some((time, rest)) = text.split_once(' ')
        && time.len() >= 19
        && time.as_bytes()[4] == b'-'
        && time.as_bytes()[10] == b'T'
        && time.as_bytes()[..4].iter().all(u8::is_ascii_digit)
        && !time.contains(['\t', '{', '"'])
    {
        return Some((time, rest));
    }
    if !MONTHS.contains(&text.get(..3)?) || text.as_bytes().get(3) != Some(&b' ') {
        return None;
    }
    // Some write the year behind the day.
    for len in [15, 20, 14, 19] {
        let Some((time, rest)) = text.get(..len).zip(text.get(len..)) else { continue };
        let clock = &time.as_bytes()[len - 8..];
        let is_clock = clock[2] == b':' && clock[5] == b':' && clock[7].is_ascii_digit();
        if is_clock && rest.starts_with([' ', ':', '.']) {
            if let Some(fraction) = rest.strip_prefix('.') {
                let behind = fraction.trim_start_matches(|byte: char| byte.is_ascii_digit());
                return Some(text.split_at(text.len() - behind.len()));
            }
            return Some((time, rest.strip_prefix(':').unwrap_or(rest)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let found = split(text).map(|(mut header, message)| {
            header.insert("message", message);
            Value::Object(header).to_string()
        });
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn rfc_5424() {
        check(
            "<165>1 2003-10-11T22:14:15.003Z host.example evntslog 8710 ID47 [x@1 iut=\"3\" eventSource=\"a\\\"b\\]\"][y] \u{feff}An event",
            Some(
                r#"{"facility":"local4","severity":"notice","time":"2003-10-11T22:14:15.003Z","host":"host.example","app":"evntslog","pid":"8710","msgid":"ID47","data":{"x@1":{"iut":"3","eventSource":"a\"b]"},"y":{}},"message":"An event"}"#,
            ),
        );
        check(
            "34 <34>1 - - su - ID47 - 'su root' failed",
            Some(
                r#"{"facility":"auth","severity":"crit","app":"su","msgid":"ID47","message":"'su root' failed"}"#,
            ),
        );
        check("<165>1 2003-10-11T22:14:15.003Z host app - - [open", None);
    }

    #[test]
    fn rfc_3164_and_files() {
        check(
            "<34>Oct 11 22:14:15 mymachine su[230]: 'su root' failed",
            Some(
                r#"{"facility":"auth","severity":"crit","time":"Oct 11 22:14:15","host":"mymachine","app":"su","pid":"230","message":"'su root' failed"}"#,
            ),
        );
        check(
            "Jan  2 03:04:05 gate kernel: [1.0] up",
            Some(r#"{"time":"Jan  2 03:04:05","host":"gate","app":"kernel","message":"[1.0] up"}"#),
        );
        check(
            "2024-01-15T10:30:00.123+01:00 db postgres: ready",
            Some(
                r#"{"time":"2024-01-15T10:30:00.123+01:00","host":"db","app":"postgres","message":"ready"}"#,
            ),
        );
        check(
            "Oct 11 22:14:15.123 gate sshd[7]: ready",
            Some(r#"{"time":"Oct 11 22:14:15.123","host":"gate","app":"sshd","pid":"7","message":"ready"}"#),
        );
        check("2024-01-15T10:30:00Z\tapp.audit\t{\"a\": 1}", None);
        for text in ["", "<999>x", "plain text", "Oct is a month", "<13>", "May 1 be"] {
            check(text, None);
        }
    }
}
