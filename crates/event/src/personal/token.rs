//! The form of a personal value in a line: `erasable:KEY:CIPHER`, and with the keyed hash by which it is found,
//! `erasable:KEY:CIPHER:hmac:KEYID:HEX`.

use std::borrow::Cow;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memmem::Finder;

use super::base64url;
use super::key::{KeyName, NONCE_BYTES, TAG_BYTES};
use crate::mask::Masker;

pub(super) const PREFIX: &str = "erasable:";
/// What a reader who may not see personal values sees in place of one.
pub const ERASABLE: &str = "erasable";
/// A value's JSON text has at least one byte.
const SEALED_BYTES_MIN: usize = NONCE_BYTES + TAG_BYTES + 1;
const HASH_PREFIX: &str = "hmac:";

/// A personal value as it stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// Which key seals it.
    pub key: KeyName,
    /// Nonce, cipher text and tag, in base64url without padding.
    cipher: &'a str,
    /// Its keyed hash, `hmac:KEYID:HEX`, if the policy lets it be searched for.
    pub hash: Option<&'a str>,
}

impl<'a> Token<'a> {
    /// The token that this text is.
    ///
    /// ```
    /// use trailseal_event::personal::Token;
    ///
    /// let cipher = "A".repeat(40);
    /// let hash = "hmac:00112233:00112233445566778899aabbccddeeff";
    /// let text = format!("erasable:3fa91c02-1f:{cipher}:{hash}");
    /// let token = Token::parse(&text).unwrap();
    /// assert_eq!((token.key.to_string(), token.hash), ("3fa91c02-1f".to_owned(), Some(hash)));
    /// assert!(Token::parse("erasable:3fa91c02-1f:short").is_none());
    /// ```
    pub fn parse(text: &'a str) -> Option<Token<'a>> {
        let rest = text.strip_prefix(PREFIX)?;
        let (key, rest) = rest.split_once(':')?;
        let (cipher, hash) = match rest.split_once(':') {
            Some((cipher, hash)) => (cipher, Some(hash)),
            None => (rest, None),
        };
        let is_cipher = cipher.len() >= (SEALED_BYTES_MIN * 4).div_ceil(3)
            && cipher.len() % 4 != 1
            && cipher.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_cipher || !hash.is_none_or(is_hash) {
            return None;
        }
        Some(Token { key: key.parse().ok()?, cipher, hash })
    }

    /// Nonce, cipher text and tag.
    pub(super) fn sealed(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.cipher).ok().filter(|sealed| sealed.len() >= SEALED_BYTES_MIN)
    }
}

/// Appends a token's text, which JSON never has to escape. `label` is the name of its key; `hashed` is what its value is
/// searched for by, and what hashes that.
pub(super) fn write(label: &[u8], sealed: &[u8], hashed: Option<(&Masker, &str)>, out: &mut Vec<u8>) {
    out.extend_from_slice(PREFIX.as_bytes());
    out.extend_from_slice(label);
    out.push(b':');
    base64url::encode(sealed, out);
    if let Some((masker, text)) = hashed {
        out.push(b':');
        masker.write_hash(text, out);
    }
}

/// The most bytes that the token of a value whose JSON text has `plain` bytes takes, without quotes.
pub(super) fn len_max(plain: usize, is_searchable: bool) -> usize {
    const HASH: usize = ":".len() + HASH_PREFIX.len() + 8 + 1 + 32;
    let head = PREFIX.len() + 8 + 1 + 16 + 1;
    head + base64url::encoded_len(NONCE_BYTES + plain + TAG_BYTES) + if is_searchable { HASH } else { 0 }
}

/// Whether a text has the form of a keyed hash: `hmac:KEYID:HEX`.
fn is_hash(text: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let rest = text.strip_prefix(HASH_PREFIX).and_then(|rest| rest.split_once(':'));
    rest.is_some_and(|(id, hex)| id.len() == 8 && hex.len() == 32 && is_hex(id) && is_hex(hex))
}

/// Whether a token may be in this JSON text. One search through the bytes.
pub fn has_token(text: &[u8]) -> bool {
    static FINDER: OnceLock<Finder<'static>> = OnceLock::new();
    FINDER.get_or_init(|| Finder::new("\"erasable:")).find(text).is_some()
}

/// What filters compare, and what a store keeps in a column, in place of a field's text: of a token, the keyed hash, or
/// the word `erasable` if it cannot be searched for; of any other text, the text.
pub fn searchable(text: &str) -> Cow<'_, str> {
    if !text.starts_with(PREFIX) {
        return Cow::Borrowed(text);
    }
    Cow::Borrowed(Token::parse(text).map_or(text, |token| token.hash.unwrap_or(ERASABLE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyName = KeyName { file: 0x0fa9_1c02, slot: 0x1f0 };
    const HASH: &str = "hmac:00112233:00112233445566778899aabbccddeeff";

    fn text(sealed: &[u8], hash: Option<&str>) -> String {
        let mut text = Vec::new();
        write(KEY.to_string().as_bytes(), sealed, None, &mut text);
        String::from_utf8(text).unwrap() + &hash.map_or(String::new(), |hash| format!(":{hash}"))
    }

    #[test]
    fn what_is_written_is_read() {
        for len in SEALED_BYTES_MIN..SEALED_BYTES_MIN + 8 {
            let sealed: Vec<u8> = (0..len as u8).map(|byte| byte.wrapping_mul(77)).collect();
            for hash in [None, Some(HASH)] {
                let text = text(&sealed, hash);
                assert!(text.starts_with("erasable:0fa91c02-1f0:"), "{text}");
                assert!(text.len() <= len_max(len - NONCE_BYTES - TAG_BYTES, hash.is_some()));
                let token = Token::parse(&text).unwrap();
                assert_eq!((token.key, token.hash, token.sealed()), (KEY, hash, Some(sealed.clone())));
            }
        }
    }

    #[test]
    fn what_is_not_a_token_is_none() {
        let whole = text(&[1; 40], Some(HASH));
        for cut in 0..whole.len() {
            let part = Token::parse(&whole[..cut]);
            assert!(part.is_none_or(|part| part.hash.is_none()), "{cut}");
        }
        let odd = [("hmac", "hash"), ("0fa9", "0FA9"), ("1f0", "01f0"), ("AQEB", "AQ+B")];
        for bad in odd.map(|(good, bad)| whole.replace(good, bad)) {
            assert!(Token::parse(&bad).is_none(), "{bad}");
        }
        assert!(Token::parse(&format!("{whole}0")).is_none() && Token::parse(&format!(" {whole}")).is_none());
    }

    #[test]
    fn what_is_searched_for_is_never_the_cipher_text() {
        assert_eq!(searchable("bob"), "bob");
        assert_eq!(searchable("erasable: not"), "erasable: not");
        assert_eq!(searchable(&text(&[1; 40], Some(HASH))), HASH);
        assert_eq!(searchable(&text(&[1; 40], None)), "erasable");
        assert!(has_token(br#"{"a":"erasable:"}"#) && !has_token(br#"{"a":"b erasable:"}"#));
    }
}
