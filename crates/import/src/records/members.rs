//! The members of a gzip file, one after the other.
//!
//! What must hold: zero bytes behind a member are padding, as tapes and block devices leave them, and end nothing;
//! anything else that is no member is an error, since records may be missing.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

pub(super) struct Members<R> {
    state: State<R>,
}

enum State<R> {
    In(Box<GzDecoder<R>>),
    Between(R),
    /// At the end, or after an error.
    Ended,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(reader: R) -> Self {
        Members { state: State::In(Box::new(GzDecoder::new(reader))) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::In(mut member) => {
                    let read = member.read(buffer);
                    let is_interrupted =
                        read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
                    match read {
                        Ok(0) if !buffer.is_empty() => State::Between(member.into_inner()),
                        Err(error) if !is_interrupted => return Err(error),
                        read => {
                            self.state = State::In(member);
                            return read;
                        }
                    }
                }
                State::Between(mut reader) => {
                    if is_at_end(&mut reader)? {
                        State::Ended
                    } else {
                        State::In(Box::new(GzDecoder::new(reader)))
                    }
                }
            };
        }
    }
}

/// Skips padding; whether nothing follows.
fn is_at_end(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let (padding, at_hand) = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map(|bytes| (bytes.iter().take_while(|&&byte| byte == 0).count(), bytes.len()))?,
        };
        reader.consume(padding);
        if at_hand == 0 || padding < at_hand {
            return Ok(at_hand == 0);
        }
    }
}
