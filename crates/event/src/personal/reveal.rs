//! What a reader sees of personal values: a line as it is, with each token replaced.

use std::borrow::Cow;
use std::sync::Arc;

use super::json::{self, DEPTH_MAX, Pointer};
use super::key::{Key, KeyName, Place};
use super::token::{ERASABLE, PREFIX, Token, has_token};
use crate::event::Value;

/// What every reader sees in place of a value whose key was destroyed.
pub const ERASED: &str = "erased";
/// What a reader who may see personal values sees in place of one whose key is missing, or that does not open with it.
pub const UNREADABLE: &str = "unreadable";

/// The keys that open personal values.
pub trait PersonalKeys: Send + Sync {
    /// The key of this name.
    fn key(&self, name: KeyName) -> Key;
}

/// The keys of several key files.
#[derive(Clone, Default)]
pub struct SeveralKeys(pub Vec<Arc<dyn PersonalKeys>>);

impl PersonalKeys for SeveralKeys {
    fn key(&self, name: KeyName) -> Key {
        let answers = self.0.iter().map(|keys| keys.key(name));
        answers.into_iter().find(|key| !matches!(key, Key::Elsewhere)).unwrap_or(Key::Elsewhere)
    }
}

/// The line with every personal value replaced: with `keys` by the value itself, by `"erased"` where its key was
/// destroyed and `"unreadable"` where it is missing; without keys by `"erasable"`. A line without personal values costs
/// one search through its bytes.
///
/// ```
/// use trailseal_event::personal::reveal;
///
/// let line = format!(r#"{{"id":"7","actor":{{"name":"erasable:3fa91c02-1f:{}"}}}}"#, "A".repeat(40));
/// assert_eq!(&*reveal(line.as_bytes(), None), br#"{"id":"7","actor":{"name":"erasable"}}"#);
/// ```
pub fn reveal<'a>(line: &'a [u8], keys: Option<&dyn PersonalKeys>) -> Cow<'a, [u8]> {
    reveal_with(line, |token, place| match keys {
        None => Seen::Word(ERASABLE),
        Some(keys) => open(keys, token, place),
    })
}

/// The same for a line of another trail: what its own keys seal, which are not among `keys`, is `"erasable"`.
pub fn reveal_elsewhere<'a>(line: &'a [u8], keys: &dyn PersonalKeys) -> Cow<'a, [u8]> {
    reveal_with(line, |token, place| match keys.key(token.key) {
        Key::Elsewhere => Seen::Word(ERASABLE),
        _ => open(keys, token, place),
    })
}

/// Calls `visit` for each token of a line, with the JSON Pointer of its field.
pub fn tokens(line: &[u8], mut visit: impl FnMut(&Token<'_>, &str)) {
    reveal_with(line, |token, place| {
        visit(token, place.pointer);
        Seen::Word("")
    });
}

/// What stands in place of a token.
pub(crate) enum Seen {
    /// The value's JSON text.
    Json(Vec<u8>),
    /// A word that needs no escaping.
    Word(&'static str),
}

/// The value of a token, or the word for why it cannot be seen.
pub(crate) fn open(keys: &dyn PersonalKeys, token: &Token<'_>, place: &Place<'_>) -> Seen {
    let key = match keys.key(token.key) {
        Key::Kept(key) => key,
        Key::Erased => return Seen::Word(ERASED),
        Key::Missing | Key::Elsewhere => return Seen::Word(UNREADABLE),
    };
    let opened = token.sealed().and_then(|mut sealed| key.open(place, &mut sealed).map(<[u8]>::to_vec));
    match opened.filter(|json| Value::parse(json).is_ok()) {
        Some(json) => Seen::Json(json),
        None => Seen::Word(UNREADABLE),
    }
}

/// The line with each token replaced by what `see` says.
pub(crate) fn reveal_with<'a>(
    line: &'a [u8],
    see: impl FnMut(&Token<'_>, &Place<'_>) -> Seen,
) -> Cow<'a, [u8]> {
    if !has_token(line) {
        return Cow::Borrowed(line);
    }
    let mut revealing = Revealing {
        line,
        copied: 0,
        out: Vec::with_capacity(line.len()),
        id: String::new(),
        tenant: String::new(),
        pointer: Pointer::default(),
        blank: &[],
        see,
    };
    if revealing.value(0, 0) != Some(line.len()) {
        return Cow::Borrowed(line);
    }
    let Revealing { mut out, copied, .. } = revealing;
    out.extend_from_slice(&line[copied..]);
    Cow::Owned(out)
}

struct Revealing<'a, F> {
    line: &'a [u8],
    /// Everything before is in `out`.
    copied: usize,
    out: Vec<u8>,
    id: String,
    tenant: String,
    pointer: Pointer,
    /// Pointers of values that become an empty text.
    blank: &'a [String],
    see: F,
}

/// The line with an empty text at each of these pointers.
pub(crate) fn blank<'a>(line: &'a [u8], pointers: &[String]) -> Cow<'a, [u8]> {
    let see = |_: &Token<'_>, _: &Place<'_>| Seen::Word("");
    let (id, tenant, pointer) = (String::new(), String::new(), Pointer::default());
    let mut blanking =
        Revealing { line, copied: 0, out: Vec::new(), id, tenant, pointer, blank: pointers, see };
    if blanking.value(0, 0) != Some(line.len()) {
        return Cow::Borrowed(line);
    }
    let Revealing { mut out, copied, .. } = blanking;
    out.extend_from_slice(&line[copied..]);
    Cow::Owned(out)
}

impl<F: FnMut(&Token<'_>, &Place<'_>) -> Seen> Revealing<'_, F> {
    /// Walks the value that begins at `at`; returns where it ends. `None` if the text is not JSON without blanks.
    fn value(&mut self, at: usize, depth: usize) -> Option<usize> {
        if self.blank.iter().any(|blank| blank == self.pointer.text()) {
            let end = json::value_end(self.line, at)?;
            self.replace(at, end, b"\"\"");
            return Some(end);
        }
        match *self.line.get(at)? {
            b'{' if depth < DEPTH_MAX => self.members(at, depth),
            b'[' if depth < DEPTH_MAX => self.elements(at, depth),
            b'"' => {
                let end = json::string_end(self.line, at)?;
                self.string(at, end);
                Some(end)
            }
            _ => json::value_end(self.line, at),
        }
    }

    fn members(&mut self, at: usize, depth: usize) -> Option<usize> {
        let mut at = at + 1;
        if *self.line.get(at)? == b'}' {
            return Some(at + 1);
        }
        loop {
            let colon = (*self.line.get(at)? == b'"').then(|| json::string_end(self.line, at)).flatten()?;
            if *self.line.get(colon)? != b':' {
                return None;
            }
            let line = self.line;
            let key = json::string(line, at, colon);
            let outer = self.pointer.len();
            self.pointer.key(&key);
            let end = self.value(colon + 1, depth + 1)?;
            self.pointer.back_to(outer);
            // Both stand before whatever can be personal.
            if depth == 0 && matches!(&*key, "id" | "tenant") && self.line[colon + 1] == b'"' {
                let text = json::string(line, colon + 1, end).into_owned();
                if key == "id" { self.id = text } else { self.tenant = text }
            }
            match *self.line.get(end)? {
                b',' => at = end + 1,
                b'}' => return Some(end + 1),
                _ => return None,
            }
        }
    }

    fn elements(&mut self, at: usize, depth: usize) -> Option<usize> {
        let mut at = at + 1;
        if *self.line.get(at)? == b']' {
            return Some(at + 1);
        }
        for place in 0.. {
            let outer = self.pointer.len();
            self.pointer.place(place);
            let end = self.value(at, depth + 1)?;
            self.pointer.back_to(outer);
            match *self.line.get(end)? {
                b',' => at = end + 1,
                b']' => return Some(end + 1),
                _ => return None,
            }
        }
        None
    }

    fn string(&mut self, from: usize, to: usize) {
        let inside = &self.line[from + 1..to - 1];
        let Some(token) = inside
            .starts_with(PREFIX.as_bytes())
            .then(|| std::str::from_utf8(inside).ok().and_then(Token::parse))
            .flatten()
        else {
            return;
        };
        let place = Place { id: &self.id, tenant: &self.tenant, pointer: self.pointer.text() };
        match (self.see)(&token, &place) {
            Seen::Json(json) => self.replace(from, to, &json),
            Seen::Word(word) => self.replace(from, to, format!("\"{word}\"").as_bytes()),
        }
    }

    fn replace(&mut self, from: usize, to: usize, by: &[u8]) {
        self.out.extend_from_slice(&self.line[self.copied..from]);
        self.out.extend_from_slice(by);
        self.copied = to;
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::SubjectKey;
    use super::super::token;
    use super::*;

    const NAME: KeyName = KeyName { file: 0x3fa9_1c02, slot: 0x1f };

    struct Held(Key);

    impl PersonalKeys for Held {
        fn key(&self, name: KeyName) -> Key {
            if name == NAME { self.0.clone() } else { Key::Missing }
        }
    }

    fn key() -> Arc<SubjectKey> {
        Arc::new(SubjectKey::new(NAME, &[7; 32]).unwrap())
    }

    fn sealed(tenant: &str, pointer: &str, plain: &str) -> String {
        let (mut sealed, mut text) = (Vec::new(), b"\"".to_vec());
        let place = Place { id: "a\"7", tenant, pointer };
        key().seal([9; 12], &place.to_bytes(), plain.as_bytes(), &mut sealed).unwrap();
        token::write(NAME.to_string().as_bytes(), &sealed, None, &mut text);
        String::from_utf8(text).unwrap() + "\""
    }

    fn shown(line: &str, keys: Option<&dyn PersonalKeys>) -> String {
        String::from_utf8(reveal(line.as_bytes(), keys).into_owned()).unwrap()
    }

    #[test]
    fn each_reader_sees_what_is_theirs() {
        let line = |mail: &str, list: &str, deep: &str| {
            format!(
                concat!(
                    r#"{{"v":1,"id":"a\"7","tenant":"acme","actor":{{"email":{}}},"#,
                    r#""details":{{"x/y":[1,{}],"z":{{"a\\b":{}}}}},"own":"erasable:x"}}"#,
                ),
                mail, list, deep
            )
        };
        let held = line(
            &sealed("acme", "/actor/email", r#""bob@example.com""#),
            &sealed("acme", "/details/x~1y/1", r#"{"n":1.50}"#),
            &sealed("acme", r"/details/z/a\b", "12"),
        );
        assert_eq!(
            shown(&held, Some(&Held(Key::Kept(key())))),
            line(r#""bob@example.com""#, r#"{"n":1.50}"#, "12"),
        );
        let word = |word: &str| line(word, word, word);
        assert_eq!(shown(&held, None), word("\"erasable\""));
        assert_eq!(shown(&held, Some(&Held(Key::Erased))), word("\"erased\""));
        assert_eq!(shown(&held, Some(&Held(Key::Missing))), word("\"unreadable\""));
        assert_eq!(shown(&held, Some(&Held(Key::Elsewhere))), word("\"unreadable\""));
        // Of another trail, only what its own keys seal can still be erased there.
        let elsewhere =
            |key| String::from_utf8(reveal_elsewhere(held.as_bytes(), &Held(key)).into_owned()).unwrap();
        assert_eq!(elsewhere(Key::Elsewhere), word("\"erasable\""));
        assert_eq!(elsewhere(Key::Missing), word("\"unreadable\""));
        assert_eq!(elsewhere(Key::Erased), word("\"erased\""));
        assert_eq!(elsewhere(Key::Kept(key())), shown(&held, Some(&Held(Key::Kept(key())))));
    }

    #[test]
    fn a_token_in_another_place_does_not_open() {
        let keys = Held(Key::Kept(key()));
        let mail = sealed("acme", "/actor/email", "\"bob\"");
        for line in [
            format!(r#"{{"id":"8","tenant":"acme","actor":{{"email":{mail}}}}}"#),
            format!(r#"{{"id":"a\"7","tenant":"other","actor":{{"email":{mail}}}}}"#),
            format!(r#"{{"id":"a\"7","actor":{{"email":{mail}}}}}"#),
            format!(r#"{{"id":"a\"7","tenant":"acme","details":{{"email":{mail}}}}}"#),
            format!(r#"{{"id":"a\"7","tenant":"acme","actor":{{"x":{{"email":{mail}}}}}}}"#),
        ] {
            assert!(shown(&line, Some(&keys)).contains(r#":"unreadable""#), "{line}");
        }
    }

    #[test]
    fn a_line_without_tokens_stays_as_it_is() {
        for line in [
            r#"{"id":"7","actor":{"id":"u1"}}"#,
            r#"{"id":"7","actor":{"id":"erasable:"}}"#,
            r#"{"text":"{\"a\":\"erasable:3fa91c02-1f:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"}"#,
            r#"{"erasable:3fa91c02-1f:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA":1}"#,
            r#"not JSON "erasable:3fa91c02-1f:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA""#,
        ] {
            assert_eq!(shown(line, None), line);
        }
        assert!(matches!(reveal(b"{}", None), Cow::Borrowed(_)));
    }
}
