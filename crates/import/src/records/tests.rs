use std::io::Write;

use super::*;

/// Reads `input` in pieces of several sizes; each must give `expected`: a line and a record, or a line and
/// the beginning of a reason after `!`.
#[track_caller]
fn check(input: &[u8], expected: &[(u64, &str)]) {
    for piece_bytes in [1, 2, 7, 64 * 1024] {
        let reader = io::BufReader::with_capacity(piece_bytes, input);
        let found: Vec<(u64, String)> = Records::new(reader)
            .map(|record| match record {
                Ok(record) => (record.line, String::from_utf8_lossy(&record.bytes).into_owned()),
                Err(failed) => (failed.line, format!("!{}", failed.reason)),
            })
            .collect();
        let matches = found.len() == expected.len()
            && found.iter().zip(expected).all(|((line, found), (expected_line, expected))| {
                line == expected_line
                    && if expected.starts_with('!') { found.starts_with(expected) } else { found == expected }
            });
        assert!(matches, "pieces of {piece_bytes}: found {found:?}, expected {expected:?}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

#[test]
fn lines() {
    check(b"", &[]);
    check(b"\n\n  \r\n", &[]);
    check(b"{\"a\":1}\n{\"a\":2}\n", &[(1, "{\"a\":1}"), (2, "{\"a\":2}")]);
    check(b"{\"a\":1}\r\n\r\n  {\"a\":2} \r\n", &[(1, "{\"a\":1}"), (3, "{\"a\":2}")]);
    check(b"\xef\xbb\xbf{\"a\":1}", &[(1, "{\"a\":1}")]);
    check(
        b"not json\n{}\n[info] started\n{}",
        &[(1, "not json"), (2, "{}"), (3, "[info] started"), (4, "{}")],
    );
    check(b"\xff\xfe{\0}\0", &[(1, "!the text is UTF-16")]);
}

#[test]
fn arrays() {
    check(b"[]", &[]);
    check(b"[{\"a\":1},{\"a\":\"]}\\\"\"}]", &[(1, "{\"a\":1}"), (1, "{\"a\":\"]}\\\"\"}")]);
    check(b"[\n  {\n    \"a\": [1]\n  },\n  {}\n]\n", &[(2, "{\n    \"a\": [1]\n  }"), (5, "{}")]);
    check(b"[{},7,\"x\",[1]]", &[(1, "{}"), (1, "7"), (1, "\"x\""), (1, "[1]")]);
    check(b"[{}]\n{\"b\":1}", &[(1, "{}"), (2, "{\"b\":1}")]);
}

#[test]
fn cloudtrail_files() {
    check(b"{\"Records\":[]}", &[]);
    check(b"{\"Records\":[{\"a\":1},{\"a\":2}]}", &[(1, "{\"a\":1}"), (1, "{\"a\":2}")]);
    check(b"{ \"Records\" :\n[\n{} ],\"next\":{\"a\":[]} }\n{}", &[(3, "{}"), (4, "{}")]);
    check(b"{\"Records\":[{}]}{\"Records\":[{\"b\":1}]}", &[(1, "{}"), (1, "{\"b\":1}")]);
    check(b"{\"Recorded\":[{}]}\n{}", &[(1, "{\"Recorded\":[{}]}"), (2, "{}")]);
}

#[test]
fn a_broken_array_takes_no_line_along() {
    check(b"[{\"a\":\n{\"b\":1}\n{\"c\":1}\n", &[(1, "!a record"), (2, "{\"b\":1}"), (3, "{\"c\":1}")]);
    check(b"[{\"a\":\"\n{\"b\":1}\n", &[(1, "!a record"), (2, "{\"b\":1}")]);
    check(b"{\"Records\":[{\"a\":1}", &[(1, "{\"a\":1}"), (1, "!the input ends")]);
    check(b"{\"Records\":[{\"a\":1},{\"b\"", &[(1, "{\"a\":1}"), (1, "!a record")]);
    check(b"{\"Records\":[{}]\n{\"b\":1}\n", &[(1, "{}"), (2, "!the object"), (2, "{\"b\":1}")]);
    check(b"[{\"a\":\n[{\"b\":\n{\"c\":1}", &[(1, "!a record"), (2, "[{\"b\":"), (3, "{\"c\":1}")]);
}

#[test]
fn gzip_is_told_by_its_first_bytes() {
    check(&gzip(b"{\"a\":1}\n{\"a\":2}"), &[(1, "{\"a\":1}"), (2, "{\"a\":2}")]);
    let two = [gzip(b"{\"Records\":[{\"a\":1}]}"), gzip(b"{\"Records\":[{\"a\":2}]}")].concat();
    check(&two, &[(1, "{\"a\":1}"), (1, "{\"a\":2}")]);
    let whole = gzip(b"{\"a\":1}\n{\"a\":2}\n");
    let cut: Vec<_> = Records::new(&whole[..whole.len() - 9]).collect();
    assert!(
        matches!(cut.last(), Some(Err(failed)) if failed.reason.starts_with("could not continue reading")),
        "{cut:?}"
    );
}

#[test]
fn a_record_over_the_limit_is_named_and_the_rest_goes_in() {
    let long = vec![b'a'; RECORD_BYTES_MAX];
    let check = |before: &str, after: &str, expected: &[(u64, bool)]| {
        let input = [before.as_bytes(), &long, after.as_bytes()].concat();
        let found: Vec<_> = Records::new(&input[..])
            .map(|record| match record {
                Ok(record) => (record.line, true),
                Err(failed) => (failed.line, !failed.reason.starts_with("longer than 16 MiB")),
            })
            .collect();
        assert_eq!(found, expected);
    };
    check("{}\n", "\r\n{}\n", &[(1, true), (2, true), (3, true)]);
    check("{}\n", "b\n{}\n", &[(1, true), (2, false), (3, true)]);
    check("[{},{\"a\":\"", "\"},{}]", &[(1, true), (1, false), (1, true)]);
}
