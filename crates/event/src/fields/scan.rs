//! JSON tokens of a line without white space between them, as the trail writes it.
//!
//! Every method returns `None` at anything that it does not expect; then nothing is known about the line.

/// Containers are skipped up to this depth.
const DEPTH_MAX: u32 = 100;

/// A position in a line.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

/// A string as it is in the line.
#[derive(Clone, Copy)]
pub(super) struct Token<'a> {
    /// Including the quotes.
    pub(super) quoted: &'a str,
    /// Whether it contains escapes.
    pub(super) is_escaped: bool,
}

impl<'a> Token<'a> {
    /// The text between the quotes.
    pub(super) fn inside(self) -> &'a str {
        self.quoted.get(1..self.quoted.len() - 1).unwrap_or_default()
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Scan { text, at }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Consumes and returns the next byte.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    pub(super) fn pass(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// Whether everything was consumed.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// A string.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Token<'a>> {
        let begin = self.at;
        self.pass(b'"')?;
        let mut is_escaped = false;
        loop {
            self.at = plain_end(self.text.as_bytes(), self.at);
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    self.escape()?;
                }
                _ => return None,
            }
        }
        Some(Token { quoted: self.text.get(begin..self.at)?, is_escaped })
    }

    #[cold]
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => (0..4).try_for_each(|_| self.next()?.is_ascii_hexdigit().then_some(())),
            _ => None,
        }
    }

    /// The key of a member, and its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Option<Token<'a>> {
        let key = self.string()?;
        self.pass(b':')?;
        Some(key)
    }

    /// Calls `member` with each key of an object; it must consume the value.
    #[inline]
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Token<'a>) -> Option<()>,
    ) -> Option<()> {
        self.pass(b'{')?;
        if self.peek()? == b'}' {
            return self.pass(b'}');
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Calls `element` at each element of an array; it must consume it.
    pub(super) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.pass(b'[')?;
        if self.peek()? == b']' {
            return self.pass(b']');
        }
        loop {
            element(self)?;
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Skips any value.
    pub(super) fn skip(&mut self) -> Option<()> {
        // One bit per open container, the innermost lowest: whether it is an object.
        let (mut open, mut depth) = (0_u128, 0);
        loop {
            match self.peek()? {
                b'"' => _ = self.string()?,
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    if self.peek()? != bracket + 2 {
                        depth += 1;
                        if depth > DEPTH_MAX {
                            return None;
                        }
                        open = open << 1 | u128::from(bracket == b'{');
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.number()?,
            }
            // A value has ended here.
            loop {
                if depth == 0 {
                    return Some(());
                }
                let is_object = open & 1 == 1;
                match (self.next()?, is_object) {
                    (b',', true) => {
                        self.key()?;
                        break;
                    }
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => {
                        depth -= 1;
                        open >>= 1;
                    }
                    _ => return None,
                }
            }
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes()).then_some(())?;
        self.at += word.len();
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let begins_with_zero = self.peek()? == b'0';
        let digits = self.digits()?;
        if begins_with_zero && digits > 1 {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<usize> {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > begin).then_some(self.at - begin)
    }
}

/// The position of the next quote, backslash or control character from `at` on, or the end.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let is = |byte: u8| {
            let zeros = word ^ (ONES * u64::from(byte));
            zeros.wrapping_sub(ONES) & !zeros
        };
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        // Borrows can only spoil bytes above the first hit, so the lowest one is correct.
        let hits = (is(b'"') | is(b'\\') | controls) & TOPS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let ends = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    bytes.get(at..).and_then(|rest| rest.iter().position(ends)).map_or(bytes.len(), |more| at + more)
}
