//! The words that a key is made of.

/// The key up to its last letter: `password2` and `token[]` count as `password` and `token`.
#[inline]
pub(super) fn stripped(key: &[u8]) -> &[u8] {
    let mut len = key.len();
    while len > 0 && !key[len - 1].is_ascii_alphabetic() && key[len - 1].is_ascii() {
        len -= 1;
    }
    &key[..len]
}

/// Where `letters` begin at the end of `key`, in any case and with any punctuation between them.
pub(super) fn end_of(key: &[u8], letters: &[u8]) -> Option<usize> {
    let mut at = key.len();
    for (place, letter) in letters.iter().rev().enumerate() {
        loop {
            let byte = *key.get(at.checked_sub(1)?)?;
            at -= 1;
            if byte.to_ascii_lowercase() == *letter {
                break;
            }
            if place == 0 || byte.is_ascii_alphanumeric() || !byte.is_ascii() {
                return None;
            }
        }
    }
    Some(at)
}

/// Whether a word begins here.
pub(super) fn is_word_start(key: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| key[before]) else { return true };
    if !before.is_ascii_alphabetic() {
        return true;
    }
    let is_upper = key.get(at).is_some_and(u8::is_ascii_uppercase);
    is_upper && (before.is_ascii_lowercase() || key.get(at + 1).is_some_and(u8::is_ascii_lowercase))
}
