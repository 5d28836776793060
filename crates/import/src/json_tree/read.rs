//! Reads JSON text into a tree, as long as it is ordinary.

use super::{Kind, Open, Span, Tree, hash};

/// An object with more members is left to the slow path, since each new key is compared with those before.
const MEMBERS_MAX: u32 = 256;
/// Longer whole numbers may not fit.
const DIGITS_MAX: usize = 18;
/// Longer fractions become texts.
const NUMBER_BYTES_MAX: usize = 128;

impl Tree {
    /// Adds the values of one JSON text to an empty tree. `None` if it is out of the ordinary, or no JSON.
    pub(super) fn fill(&mut self, text: &str, levels: usize) -> Option<()> {
        Reader { bytes: text.as_bytes(), at: 0, levels, tree: self }.text()
    }
}

struct Reader<'r> {
    bytes: &'r [u8],
    at: usize,
    levels: usize,
    tree: &'r mut Tree,
}

impl Reader<'_> {
    fn text(mut self) -> Option<()> {
        self.space();
        let (mut key, mut hash) = (Span::default(), 0);
        loop {
            // Here a value begins.
            let begun = self.value(key, hash)?;
            if !begun {
                // A value has ended, and perhaps those around it.
                loop {
                    let Some(open) = self.tree.open.last() else {
                        self.space();
                        return (self.at == self.bytes.len()).then_some(());
                    };
                    let place = open.place;
                    self.space();
                    match (self.peek()?, self.tree.nodes.get(place)?.kind) {
                        (b',', _) => {
                            self.at += 1;
                            self.space();
                            break;
                        }
                        (b'}', Kind::Object) | (b']', Kind::Array) => {
                            self.at += 1;
                            self.tree.open.pop();
                            self.tree.close(place);
                        }
                        _ => return None,
                    }
                }
            }
            let open = self.tree.open.last()?.place;
            (key, hash) = match self.tree.nodes.get(open)?.kind {
                Kind::Object => self.key()?,
                _ => (Span::default(), 0),
            };
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Reads a value that has nothing inside, or begins one that has; true in the second case.
    #[inline]
    fn value(&mut self, key: Span, hash: u32) -> Option<bool> {
        match self.peek()? {
            b'"' => {
                let (text, is_escaped) = self.string()?;
                self.tree.push(key, hash, text, if is_escaped { Kind::Escaped } else { Kind::Plain });
            }
            b'-' | b'0'..=b'9' => {
                let text = self.number()?;
                self.tree.push(key, hash, text, Kind::Number);
            }
            byte @ (b'{' | b'[') => {
                if self.tree.open.len() >= self.levels {
                    return None;
                }
                let (kind, end) = if byte == b'{' { (Kind::Object, b'}') } else { (Kind::Array, b']') };
                let place = self.tree.nodes.len();
                self.tree.push(key, hash, Span::default(), kind);
                self.at += 1;
                self.space();
                if self.peek()? != end {
                    self.tree.open.push(Open { place, seen: 0, members: 0 });
                    return Some(true);
                }
                self.at += 1;
            }
            b't' => self.word(b"true", key, hash, Kind::True)?,
            b'f' => self.word(b"false", key, hash, Kind::False)?,
            b'n' => self.word(b"null", key, hash, Kind::Null)?,
            _ => return None,
        }
        Some(false)
    }

    fn word(&mut self, word: &[u8], key: Span, hash: u32, kind: Kind) -> Option<()> {
        if !self.bytes.get(self.at..)?.starts_with(word) {
            return None;
        }
        self.at += word.len();
        self.tree.push(key, hash, Span::default(), kind);
        Some(())
    }

    /// Reads a key with its colon. It is a new one.
    #[inline]
    fn key(&mut self) -> Option<(Span, u32)> {
        if self.peek()? != b'"' {
            return None;
        }
        let (span, is_escaped) = self.string()?;
        if is_escaped {
            return None;
        }
        self.space();
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        self.space();
        let hash = hash(self.bytes.get(span.from as usize..span.to as usize)?);
        let open = self.tree.open.last_mut()?;
        let bit = 1 << (hash & 63);
        let may_be_known = open.seen & bit != 0;
        open.seen |= bit;
        open.members += 1;
        let (place, members) = (open.place, open.members);
        if members > MEMBERS_MAX || (may_be_known && self.is_known(place, span, hash)) {
            return None;
        }
        Some((span, hash))
    }

    /// Whether the object at `place` has this key.
    fn is_known(&self, place: usize, key: Span, hash: u32) -> bool {
        let of = |key: Span| self.bytes.get(key.from as usize..key.to as usize);
        let mut at = place + 1;
        while let Some(node) = self.tree.nodes.get(at) {
            if node.hash == hash && of(node.key) == of(key) {
                return true;
            }
            at = node.next as usize;
        }
        false
    }

    /// Reads a string, and returns its inside and whether it has escapes.
    #[inline]
    fn string(&mut self) -> Option<(Span, bool)> {
        let from = self.at + 1;
        let mut is_escaped = false;
        self.at = from;
        loop {
            self.at += plain_len(self.bytes.get(self.at..)?);
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some((Span::new(from, self.at - 1), is_escaped));
                }
                b'\\' => {
                    is_escaped = true;
                    self.escape()?;
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let hex = self.bytes.get(self.at + 2..self.at + 6)?;
                // A surrogate, whole or not.
                let is_surrogate = matches!(hex, [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
                if is_surrogate || !hex.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self) -> Option<Span> {
        let from = self.at;
        self.at += usize::from(self.peek()? == b'-');
        let leading_zero = self.peek()? == b'0';
        let whole = self.digits()?;
        if leading_zero && whole > 1 {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        } else if whole > DIGITS_MAX {
            return None;
        }
        let is_odd = matches!(self.peek(), Some(b'e' | b'E')) || self.at - from > NUMBER_BYTES_MAX;
        (!is_odd).then(|| Span::new(from, self.at))
    }

    /// Reads at least one digit, and returns how many there are.
    fn digits(&mut self) -> Option<usize> {
        let rest = self.bytes.get(self.at..)?;
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += len;
        (len > 0).then_some(len)
    }
}

/// How many bytes come before the first quote, backslash or control character.
#[inline]
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Exact for the lowest such byte, which is the first: borrows go upwards only.
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, rest) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let is_control = word.wrapping_sub(ONES * 0x20) & !word;
        let is_quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let is_backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
        let special = (is_control | is_quote | is_backslash) & HIGHS;
        if special != 0 {
            return place * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| *byte < 0x20 || matches!(*byte, b'"' | b'\\');
    let before = words.len() * 8;
    before + rest.iter().position(is_special).unwrap_or(rest.len())
}
