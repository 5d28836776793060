//! Bytes with a line number: decompressed, peeked at, put back.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use super::members::Members;

/// How taking a line or a value ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is complete.
    Complete,
    /// It was skipped because it is longer than allowed.
    TooLong,
    /// It does not end, or not within the allowed length; the bytes seen so far are in the buffer.
    Broken,
}

/// How much of a line is looked at before it is taken.
const LINE_LOOK_MAX: usize = 1024 * 1024;

/// A reader of plain or gzip bytes that knows the line it is on.
pub(super) struct Source<R> {
    input: Input<R>,
    /// Bytes that were read and put back, from `pushed_at` on; they come before the input.
    pushed: Vec<u8>,
    pushed_at: usize,
    /// The line of the next byte; the first is 1.
    line: u64,
    /// How many bytes the input has at hand.
    left: usize,
    /// Why the input broke off behind the bytes that were put back.
    broken: Option<io::Error>,
}

/// A reader preceded by the bytes that were read from it to detect its format.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

enum Input<R> {
    Unopened(R),
    Plain(Whole<R>),
    Gzip(Box<BufReader<Members<Whole<R>>>>),
    /// Only between two of the states above, and after a failed opening.
    Closed,
}

impl<R: BufRead> Input<R> {
    /// Tells gzip from plain bytes by the magic number.
    fn open(mut reader: R) -> io::Result<Input<R>> {
        let mut head = Vec::new();
        reader.by_ref().take(2).read_to_end(&mut head)?;
        let is_gzip = head == [0x1f, 0x8b];
        let whole = Cursor::new(head).chain(reader);
        Ok(if is_gzip {
            Input::Gzip(Box::new(BufReader::with_capacity(64 * 1024, Members::new(whole))))
        } else {
            Input::Plain(whole)
        })
    }

    fn fill(&mut self) -> io::Result<&[u8]> {
        if let Input::Unopened(_) = self
            && let Input::Unopened(reader) = std::mem::replace(self, Input::Closed)
        {
            *self = Input::open(reader)?;
        }
        match self {
            Input::Plain(reader) => reader.fill_buf(),
            Input::Gzip(reader) => reader.fill_buf(),
            Input::Unopened(_) | Input::Closed => Ok(&[]),
        }
    }

    fn consume(&mut self, len: usize) {
        match self {
            Input::Plain(reader) => reader.consume(len),
            Input::Gzip(reader) => reader.consume(len),
            Input::Unopened(_) | Input::Closed => {}
        }
    }
}

impl<R: BufRead> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        Source {
            input: Input::Unopened(reader),
            pushed: Vec::new(),
            pushed_at: 0,
            line: 1,
            left: 0,
            broken: None,
        }
    }

    /// How much memory it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.pushed.capacity()
    }

    /// The line of the next byte; the first is 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The available bytes; none at the end.
    fn fill(&mut self) -> io::Result<&[u8]> {
        if self.pushed_at < self.pushed.len() {
            return Ok(&self.pushed[self.pushed_at..]);
        }
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        loop {
            match self.input.fill() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                // Called again, since the borrow of a returned slice cannot leave the loop.
                Ok(at_hand) => {
                    self.left = at_hand.len();
                    break;
                }
            }
        }
        self.input.fill()
    }

    fn consume(&mut self, len: usize) {
        if self.pushed_at < self.pushed.len() {
            self.pushed_at += len;
            if self.pushed_at >= self.pushed.len() {
                (self.pushed, self.pushed_at) = (Vec::new(), 0);
            }
        } else {
            self.input.consume(len);
            self.left = self.left.saturating_sub(len);
        }
    }

    /// Whether the next byte is there without waiting for it.
    pub(super) fn is_at_hand(&self) -> bool {
        self.pushed_at < self.pushed.len() || self.left > 0
    }

    /// Whether the rest of the line is.
    pub(super) fn has_line(&mut self) -> bool {
        self.is_at_hand() && self.fill().is_ok_and(|at_hand| memchr::memchr(b'\n', at_hand).is_some())
    }

    pub(super) fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.fill()?.first().copied())
    }

    /// The next bytes, without consuming any: up to about `bytes_max` of them, or so many that they are `enough`, which
    /// is asked each time that they have doubled; fewer only at the end, and whether that is so.
    pub(super) fn head(
        &mut self,
        bytes_max: usize,
        enough: impl Fn(&[u8]) -> bool,
    ) -> io::Result<(&[u8], bool)> {
        let mut is_whole = false;
        if self.pushed.len() - self.pushed_at < bytes_max {
            let mut head = self.pushed.split_off(self.pushed_at);
            (self.pushed, self.pushed_at) = (Vec::new(), 0);
            let mut asked = 0;
            while head.len() < bytes_max {
                if head.len() >= 2 * asked && !head.is_empty() {
                    asked = head.len();
                    if enough(&head) {
                        break;
                    }
                }
                let at_hand = match self.fill() {
                    Ok(at_hand) => at_hand,
                    Err(error) if head.is_empty() => return Err(error),
                    // What came before it is read first.
                    Err(error) => {
                        self.broken = Some(error);
                        is_whole = true;
                        break;
                    }
                };
                if at_hand.is_empty() {
                    is_whole = true;
                    break;
                }
                let len = at_hand.len();
                head.extend_from_slice(at_hand);
                self.consume(len);
            }
            self.pushed = head;
        }
        Ok((&self.pushed[self.pushed_at..], is_whole))
    }

    /// The next line with its end, without consuming it; none at the end of the input. Of a very long one, a part.
    pub(super) fn next_line(&mut self) -> io::Result<&[u8]> {
        let mut bytes_max = 4096;
        loop {
            let at_hand = self.fill()?;
            if memchr::memchr(b'\n', at_hand).is_some() || bytes_max > LINE_LOOK_MAX {
                break;
            }
            let (_, is_whole) = self.head(bytes_max, |head| memchr::memchr(b'\n', head).is_some())?;
            if is_whole {
                break;
            }
            bytes_max *= 4;
        }
        let at_hand = self.fill()?;
        Ok(&at_hand[..memchr::memchr(b'\n', at_hand).map_or(at_hand.len(), |end| end + 1)])
    }

    /// Consumes `len` bytes that [`Source::head`] showed, with the line ends in them.
    pub(super) fn skip_head(&mut self, len: usize) {
        let len = len.min(self.pushed.len() - self.pushed_at);
        self.line += count_lines(&self.pushed[self.pushed_at..self.pushed_at + len]);
        self.consume(len);
    }

    /// Advances past `len` bytes that [`Source::peek`] or the caller saw and that contain no line ends.
    pub(super) fn advance(&mut self, len: usize) {
        self.consume(len);
    }

    /// Puts back the bytes that were taken last.
    pub(super) fn push_back(&mut self, bytes: &[u8]) {
        self.line -= count_lines(bytes);
        let mut pushed = bytes.to_vec();
        pushed.extend_from_slice(&self.pushed[self.pushed_at..]);
        (self.pushed, self.pushed_at) = (pushed, 0);
    }

    /// Skips a UTF-8 byte order mark; returns whether there is one of UTF-16.
    pub(super) fn skip_byte_order_mark(&mut self) -> io::Result<bool> {
        let mut seen = Vec::new();
        while seen.len() < 3
            && let Some(byte) = self.peek()?
            && matches!(byte, 0xef | 0xbb | 0xbf | 0xfe | 0xff)
        {
            seen.push(byte);
            self.advance(1);
        }
        if matches!(seen[..], [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
            return Ok(true);
        }
        if seen != [0xef, 0xbb, 0xbf] {
            self.push_back(&seen);
        }
        Ok(false)
    }

    pub(super) fn skip_white_space(&mut self) -> io::Result<()> {
        self.skip(|byte| byte.is_ascii_whitespace())
    }

    /// Skips what may come between the values of an array.
    pub(super) fn skip_separators(&mut self) -> io::Result<()> {
        self.skip(|byte| byte.is_ascii_whitespace() || byte == b',')
    }

    fn skip(&mut self, skipped: impl Fn(u8) -> bool) -> io::Result<()> {
        loop {
            let at_hand = self.fill()?;
            let len = at_hand.iter().take_while(|&&byte| skipped(byte)).count();
            let (lines, all) = (count_lines(&at_hand[..len]), len == at_hand.len());
            self.consume(len);
            self.line += lines;
            if len == 0 || !all {
                return Ok(());
            }
        }
    }

    /// Takes the rest of the line, without its end.
    pub(super) fn take_line(&mut self, taken: &mut Vec<u8>, bytes_max: usize) -> io::Result<End> {
        let mut too_long = false;
        loop {
            let at_hand = self.fill()?;
            let newline = memchr::memchr(b'\n', at_hand);
            let len = newline.unwrap_or(at_hand.len());
            // One byte more than the limit is allowed for the CR of a line end.
            too_long |= taken.len() + len > bytes_max + 1;
            if !too_long {
                taken.extend_from_slice(&at_hand[..len]);
            }
            let at_end = at_hand.is_empty();
            self.consume(len + usize::from(newline.is_some()));
            if newline.is_some() || at_end {
                self.line += u64::from(newline.is_some());
                too_long |= taken.trim_ascii_end().len() > bytes_max;
                return Ok(if too_long { End::TooLong } else { End::Complete });
            }
        }
    }

    /// Takes one JSON value, delimited only by its brackets and quotes; with `depth` 1, the rest of one whose opening
    /// bracket was taken before.
    pub(super) fn take_value(
        &mut self,
        taken: &mut Vec<u8>,
        depth: usize,
        bytes_max: usize,
    ) -> io::Result<End> {
        let mut scan = Scan { depth, in_text: false, escaped: false, begun: depth > 0 };
        let mut too_long = false;
        loop {
            let at_hand = self.fill()?;
            if at_hand.is_empty() {
                let complete = scan.depth == 0 && !scan.in_text;
                return Ok(if complete && !too_long { End::Complete } else { End::Broken });
            }
            let found = scan.end(at_hand);
            let len = match found {
                Found::End(len) | Found::Broken(len) => len,
                Found::More => at_hand.len(),
            };
            if !too_long {
                taken.extend_from_slice(&at_hand[..len]);
            }
            let lines = count_lines(&at_hand[..len]);
            self.consume(len);
            self.line += lines;
            if taken.len() > bytes_max && !too_long {
                too_long = true;
                // Over several lines it is probably a value that was never closed: its lines may hold records.
                if memchr::memchr(b'\n', taken).is_some() {
                    return Ok(End::Broken);
                }
                *taken = Vec::new();
            }
            match found {
                Found::End(_) => return Ok(if too_long { End::TooLong } else { End::Complete }),
                Found::Broken(_) => return Ok(End::Broken),
                Found::More => {}
            }
        }
    }
}

/// Finds where a JSON value ends, over several pieces of input.
struct Scan {
    depth: usize,
    in_text: bool,
    escaped: bool,
    begun: bool,
}

enum Found {
    /// The value is this many first bytes.
    End(usize),
    /// A line ends inside a string, which JSON does not allow, after this many bytes.
    Broken(usize),
    More,
}

impl Scan {
    fn end(&mut self, bytes: &[u8]) -> Found {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.in_text {
                match byte {
                    b'\n' => return Found::Broken(at + 1),
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            // At depth 0 only a value without brackets can continue, and it ends before these.
            let ends_bare = byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}');
            if self.depth == 0 && self.begun && ends_bare {
                return Found::End(at);
            }
            self.begun = true;
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth <= 1 => {
                    self.depth = 0;
                    return Found::End(at + 1);
                }
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
        Found::More
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
