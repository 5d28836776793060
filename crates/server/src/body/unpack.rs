//! Bodies that come packed.

use std::io::Read;

use super::room::Held;
use crate::problem::{Kind, Problem};

/// How many bytes are decompressed before room is taken for them.
const UNPACKED_AT_ONCE: u64 = 64 << 10;

/// Decompresses a body; `None` if that is more than `max` bytes.
pub(super) fn decode(
    encoding: &str,
    bytes: &[u8],
    max: usize,
    held: &mut Held,
) -> Result<Option<Vec<u8>>, Problem> {
    let wrong = |_| Problem::new(Kind::Unpacking, format!("the body is not {encoding}"));
    match encoding {
        "gzip" | "x-gzip" => unpack(flate2::read::MultiGzDecoder::new(bytes), max, held, wrong),
        "zstd" => {
            let mut decoder = zstd::Decoder::new(bytes).map_err(wrong)?;
            // A frame may ask for a window of many gigabytes.
            decoder.window_log_max(27).map_err(wrong)?;
            unpack(decoder, max, held, wrong)
        }
        _ => {
            let detail = "this Content-Encoding is not supported: use gzip or zstd, or none";
            Err(Problem::new(Kind::Encoding, detail))
        }
    }
}

fn unpack(
    packed: impl Read,
    max: usize,
    held: &mut Held,
    wrong: impl Fn(std::io::Error) -> Problem,
) -> Result<Option<Vec<u8>>, Problem> {
    let mut packed = packed.take(max as u64 + 1);
    let mut bytes = Vec::new();
    loop {
        let count = packed.by_ref().take(UNPACKED_AT_ONCE).read_to_end(&mut bytes).map_err(&wrong)?;
        if count == 0 {
            return Ok((bytes.len() <= max).then_some(bytes));
        }
        held.grow(count)?;
    }
}

/// For the fuzzer.
#[cfg(fuzzing)]
pub(crate) fn unpacked(encoding: &str, body: &[u8], max: usize) -> Option<Vec<u8>> {
    use crate::client::Client;
    use crate::fairness::Shares;
    let mut held = Held::new(Shares::new(max, max).begin(Client::Owner));
    decode(encoding, body, max, &mut held).ok()?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::client::Client;
    use crate::fairness::Shares;

    #[test]
    fn a_bomb_is_cut_off() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packer, &vec![b' '; 10 << 20]).unwrap();
        let packed = packer.finish().unwrap();
        assert!(packed.len() < 20_000);
        let mut held = Held::new(Shares::new(2 << 20, 2 << 20).begin(Client::Owner));
        assert_eq!(decode("gzip", &packed, 1 << 20, &mut held).unwrap(), None);
        let mut held = Held::new(Shares::new(1 << 19, 1 << 19).begin(Client::Owner));
        assert!(decode("gzip", &packed, 1 << 20, &mut held).unwrap_err().is_refused());
    }
}
