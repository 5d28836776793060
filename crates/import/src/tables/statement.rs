//! Statements of a dump: where they begin and end, and what an INSERT says.

/// How deep values may be nested in calls.
const CALLS_MAX: usize = 8;

/// Where in the text of SQL a reader is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum At {
    /// Between tokens.
    #[default]
    Plain,
    /// In a text in single quotes; with backslashes, or not.
    Quoted { escapes: bool },
    /// In a quoted name.
    Name,
    /// In a text between dollars.
    Dollar(Vec<u8>),
    /// In a comment over several lines.
    Comment,
}

/// Follows statements line by line.
#[derive(Debug, Default)]
pub(super) struct Follow {
    at: At,
    /// Whether the present statement has begun.
    has_begun: bool,
}

impl Follow {
    /// Whether what comes next begins a statement.
    pub(super) fn is_between(&self) -> bool {
        self.at == At::Plain && !self.has_begun
    }

    /// Takes a line, its end included.
    pub(super) fn line(&mut self, line: &[u8]) {
        let mut at = 0;
        while let Some(&byte) = line.get(at) {
            let rest = &line[at..];
            at += match &self.at {
                At::Plain => self.plain(byte, rest, at.checked_sub(1).map(|before| line[before])),
                At::Quoted { escapes: true } if byte == b'\\' => 2,
                At::Quoted { .. } if rest.starts_with(b"''") => 2,
                At::Quoted { .. } | At::Name => {
                    let end = if self.at == At::Name { b'"' } else { b'\'' };
                    if byte == end {
                        self.at = At::Plain;
                    }
                    1
                }
                At::Dollar(tag) if rest.starts_with(tag) => {
                    let len = tag.len();
                    self.at = At::Plain;
                    len
                }
                At::Comment if rest.starts_with(b"*/") => {
                    self.at = At::Plain;
                    2
                }
                At::Dollar(_) | At::Comment => 1,
            };
        }
    }

    fn plain(&mut self, byte: u8, rest: &[u8], before: Option<u8>) -> usize {
        if rest.starts_with(b"--") {
            return rest.len();
        }
        if rest.starts_with(b"/*") {
            self.at = At::Comment;
            return 2;
        }
        match byte {
            b'\'' => self.at = At::Quoted { escapes: matches!(before, Some(b'E' | b'e')) },
            b'"' => self.at = At::Name,
            b'$' => {
                if let Some(tag) = dollar_tag(rest) {
                    self.at = At::Dollar(tag.to_vec());
                    self.has_begun = true;
                    return tag.len();
                }
            }
            b';' => {
                self.has_begun = false;
                return 1;
            }
            // A command of psql is a line of its own.
            b'\\' if !self.has_begun => return rest.len(),
            byte if byte.is_ascii_whitespace() => return 1,
            _ => {}
        }
        self.has_begun = true;
        1
    }
}

fn dollar_tag(rest: &[u8]) -> Option<&[u8]> {
    let end = rest.iter().skip(1).position(|&byte| byte == b'$')? + 1;
    let name = &rest[1..end];
    let is_name = name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80);
    (is_name && !name.first().is_some_and(u8::is_ascii_digit)).then(|| &rest[..=end])
}

/// What reads a statement.
pub(super) struct Tokens<'t> {
    rest: &'t str,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Tokens { rest: text }
    }

    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(comment) = self.rest.strip_prefix("--") {
                self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                self.rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
            } else {
                return;
            }
        }
    }

    /// Takes this word, whatever its case.
    pub(super) fn word(&mut self, word: &str) -> bool {
        self.skip();
        let Some(head) = self.rest.get(..word.len()) else { return false };
        let is_whole = !self.rest[word.len()..].starts_with(is_of_word);
        let is_it = is_whole && head.eq_ignore_ascii_case(word);
        if is_it {
            self.rest = &self.rest[word.len()..];
        }
        is_it
    }

    pub(super) fn words(&mut self, words: &str) -> bool {
        words.split(' ').all(|word| self.word(word))
    }

    pub(super) fn symbol(&mut self, symbol: char) -> bool {
        self.skip();
        let rest = self.rest.strip_prefix(symbol);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A name; quoted ones as they are, others in lower case.
    pub(super) fn name(&mut self) -> Option<String> {
        self.skip();
        if let Some(quote) = self.rest.chars().next().filter(|first| matches!(first, '"' | '`')) {
            return self.quoted(quote);
        }
        if let Some(rest) = self.rest.strip_prefix('[') {
            let (name, rest) = rest.split_once(']')?;
            self.rest = rest;
            return Some(name.to_owned());
        }
        let end = self.rest.find(|letter| !is_of_word(letter)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!name.is_empty()).then(|| name.to_ascii_lowercase())
    }

    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut letters = self.rest.char_indices().skip(1).peekable();
        while let Some((at, letter)) = letters.next() {
            if letter != quote {
                text.push(letter);
            } else if letters.peek().is_some_and(|(_, next)| *next == quote) {
                text.push(quote);
                letters.next();
            } else {
                self.rest = &self.rest[at + quote.len_utf8()..];
                return Some(text);
            }
        }
        None
    }

    /// The name of a table, with its schema if it has one.
    pub(super) fn table(&mut self) -> Option<(Option<String>, String)> {
        let first = self.name()?;
        match self.symbol('.') {
            true => Some((Some(first), self.name()?)),
            false => Some((None, first)),
        }
    }

    /// Names in parentheses.
    pub(super) fn columns(&mut self) -> Option<Vec<String>> {
        if !self.symbol('(') {
            return None;
        }
        let mut names = vec![self.name()?];
        while self.symbol(',') {
            names.push(self.name()?);
        }
        self.symbol(')').then_some(names)
    }

    /// The columns of a table that is made, behind the opening parenthesis.
    pub(super) fn defined_columns(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let constraint = ["constraint", "primary", "unique", "foreign", "check", "exclude", "like"];
            let is_quoted = {
                self.skip();
                self.rest.starts_with('"')
            };
            match self.name() {
                Some(name) if is_quoted || !constraint.contains(&name.as_str()) => names.push(name),
                Some(_) => {}
                None => return names,
            }
            if !self.skip_value() || !self.symbol(',') {
                return names;
            }
        }
    }

    /// Values in parentheses; `None` is NULL.
    pub(super) fn row(&mut self) -> Option<Vec<Option<String>>> {
        if !self.symbol('(') {
            return None;
        }
        let mut values = vec![self.value(0)?];
        while self.symbol(',') {
            values.push(self.value(0)?);
        }
        self.symbol(')').then_some(values)
    }

    /// One value, up to the comma or parenthesis behind it. The outer `None` is what cannot be read.
    fn value(&mut self, depth: usize) -> Option<Option<String>> {
        self.skip();
        let value = if self.rest.starts_with('\'') {
            Some(self.quoted('\'')?)
        } else if self.rest.starts_with(['E', 'e']) && self.rest[1..].starts_with('\'') {
            self.rest = &self.rest[1..];
            Some(self.escaped()?)
        } else if self.rest.starts_with(['X', 'x']) && self.rest[1..].starts_with('\'') {
            self.rest = &self.rest[1..];
            Some(text_of_hex(&self.quoted('\'')?)?)
        } else if self.word("NULL") {
            None
        } else if depth < CALLS_MAX && self.word("replace") {
            Some(self.replaced(depth)?)
        } else if depth < CALLS_MAX && self.word("unistr") {
            Some(self.by_code_points(depth)?)
        } else if self.word("true") {
            Some("true".to_owned())
        } else if self.word("false") {
            Some("false".to_owned())
        } else {
            let before = self.rest;
            self.skip_value();
            let text = before[..before.len() - self.rest.len()].trim();
            return (!text.is_empty()).then(|| Some(text.to_owned()));
        };
        // A cast, or nothing.
        self.skip_value();
        Some(value)
    }

    /// Goes to the next comma or parenthesis of this level. False at the end of the text.
    fn skip_value(&mut self) -> bool {
        let mut depth = 0_usize;
        loop {
            self.skip();
            let Some(next) = self.rest.chars().next() else { return false };
            match next {
                ',' | ')' if depth == 0 => return true,
                ')' => depth -= 1,
                '(' => depth += 1,
                '\'' | '"' => {
                    if self.quoted(next).is_none() {
                        return false;
                    }
                    continue;
                }
                _ => {}
            }
            self.rest = &self.rest[next.len_utf8()..];
        }
    }

    /// As SQLite writes line breaks: `replace('a\nb','\n',char(10))`.
    fn replaced(&mut self, depth: usize) -> Option<String> {
        self.symbol('(').then_some(())?;
        let text = self.value(depth + 1)??;
        self.symbol(',').then_some(())?;
        let from = self.value(depth + 1)??;
        self.symbol(',').then_some(())?;
        let to = if self.word("char") {
            self.symbol('(').then_some(())?;
            let code: u32 = self.value(depth + 1)??.parse().ok()?;
            self.symbol(')').then_some(())?;
            char::from_u32(code)?.to_string()
        } else {
            self.value(depth + 1)??
        };
        self.symbol(')').then(|| text.replace(&from, &to))
    }

    /// As newer ones write them: `unistr('a\u000ab')`.
    fn by_code_points(&mut self, depth: usize) -> Option<String> {
        self.symbol('(').then_some(())?;
        let text = self.value(depth + 1)??;
        self.symbol(')').then_some(())?;
        let mut parts = text.split('\\');
        let mut out = parts.next()?.to_owned();
        while let Some(part) = parts.next() {
            match (part.strip_prefix('u'), part.is_empty()) {
                (Some(code), _) => {
                    let digits = code.get(..4)?;
                    out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                    out.push_str(&code[4..]);
                }
                (None, true) => {
                    out.push('\\');
                    out.push_str(parts.next().unwrap_or_default());
                }
                (None, false) => return None,
            }
        }
        Some(out)
    }

    /// A text with backslashes, at its first quote.
    fn escaped(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let text = self.rest.as_bytes();
        let mut at = 1;
        loop {
            match *text.get(at)? {
                b'\'' if text.get(at + 1) == Some(&b'\'') => {
                    bytes.push(b'\'');
                    at += 2;
                }
                b'\'' => break,
                b'\\' => at += unescape(&text[at..], &mut bytes),
                byte => {
                    bytes.push(byte);
                    at += 1;
                }
            }
        }
        self.rest = &self.rest[at + 1..];
        String::from_utf8(bytes).ok()
    }
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$')
}

fn text_of_hex(digits: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes = (0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes).ok()
}

/// Resolves the escape at the beginning of `text`, as COPY and `E'…'` have it. Gives how many bytes it takes.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(&letter) = text.get(1) else {
        out.push(b'\\');
        return 1;
    };
    let digits = |from: usize, most: usize, radix: u32| {
        let len =
            text[from..].iter().take(most).take_while(|&&byte| char::from(byte).is_digit(radix)).count();
        let digits = std::str::from_utf8(&text[from..from + len]).ok()?;
        Some((u32::from_str_radix(digits, radix).ok()? as u8, from + len))
    };
    let plain = match letter {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'0'..=b'7' | b'x' => {
            let (from, most, radix) = if letter == b'x' { (2, 2, 16) } else { (1, 3, 8) };
            if let Some((byte, len)) = digits(from, most, radix) {
                out.push(byte);
                return len;
            }
            letter
        }
        other => other,
    };
    out.push(plain);
    2
}
