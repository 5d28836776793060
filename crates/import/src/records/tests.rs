use std::io::{Read as _, Write};

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
}

#[test]
fn objects_over_several_lines_may_follow_json_lines() {
    check(
        b"{\"a\":1}\n{\r\n  \"b\": {}\n}\n{ \r\n}\r\n{\"c\":3}\nno\n{}",
        &[
            (1, "{\"a\":1}"),
            (2, "{\r\n  \"b\": {}\n}"),
            (5, "{ \r\n}"),
            (7, "{\"c\":3}"),
            (8, "no"),
            (9, "{}"),
        ],
    );
    check(
        b"{\"a\":1}\n{\n\"b\":2\n{}\n",
        &[(1, "{\"a\":1}"), (2, "!a record is truncated"), (3, "\"b\":2"), (4, "{}")],
    );
    check(b"{\"a\":1}\n{", &[(1, "{\"a\":1}"), (2, "{")]);
}

#[test]
fn what_is_no_text_is_told_once() {
    check(b"\xff\xfe{\0}\0", &[(1, "!the text is UTF-16")]);
    check(b"{\0}\0\n\0{\0", &[(1, "!the text is UTF-16")]);
    check(b"\0{\0}\0\n", &[(1, "!the text is UTF-16")]);
    check(b"\x28\xb5\x2f\xfd\x04\n\n", &[(1, "!it is compressed with zstd")]);
    check(b"\xfd7zXZ\0\0\n", &[(1, "!it is compressed with xz")]);
    check(b"BZh91AY&SY\n", &[(1, "!it is compressed with bzip2")]);
    check(b"BZhello\n", &[(1, "BZhello")]);
    check(b"PAR1\x15\x04\n", &[(1, "!it is a Parquet file")]);
    check(b"PAR1 login anna\n", &[(1, "PAR1 login anna")]);
    check(b"PAR1\n{}\n", &[(1, "PAR1"), (2, "{}")]);
    check(b"PK\x03\x04\n", &[(1, "!it is a zip file")]);
    check(&gzip(&gzip(b"{}\n")), &[(1, "!it is compressed twice")]);
    let mut tar = vec![0; 512];
    tar[..7].copy_from_slice(b"a.jsonl");
    tar[257..262].copy_from_slice(b"ustar");
    tar.extend(b"{}\n");
    check(&tar, &[(1, "!it is a tar file")]);
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
    // As tapes and block devices leave it.
    check(&[gzip(b"{\"a\":1}\n"), vec![0; 1024]].concat(), &[(1, "{\"a\":1}")]);
    check(
        &[gzip(b"{\"a\":1}\n"), vec![0; 7], gzip(b"{\"a\":2}")].concat(),
        &[(1, "{\"a\":1}"), (2, "{\"a\":2}")],
    );
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

#[test]
fn containers_are_opened_wherever_their_array_is() {
    for key in ["records", "Events", "value", "items", "entries", "data", "Records"] {
        let input =
            format!("{{\"status\":\"ok\",\"n\":[1,2],\"{key}\":[{{\"a\":1}},{{\"a\":2}}],\"next\":{{}}}}");
        check(input.as_bytes(), &[(1, "{\"a\":1}"), (1, "{\"a\":2}")]);
    }
    check(
        b"{\"a\":1,\n\"data\":{\"items\":[\n{\"a\":1}\n],\"x\":1},\"y\":2}\n{\"b\":1}",
        &[(3, "{\"a\":1}"), (5, "{\"b\":1}")],
    );
    check(b"{\"records\":[{\"a\":1}]}\n{\"records\":[{\"a\":2}]}\n", &[(1, "{\"a\":1}"), (2, "{\"a\":2}")]);
    // Lists of anything else are no records.
    check(b"{\"a\":1,\"items\":[\"x\"]}\n{\"a\":2}", &[(1, "{\"a\":1,\"items\":[\"x\"]}"), (2, "{\"a\":2}")]);
}

#[test]
fn a_record_with_a_list_is_a_record() {
    let mapping = Mapping::parse("format = 'shop'\n[event]\naction = 'do'").expect("a good mapping");
    let line = "{\"do\":\"buy\",\"items\":[{\"sku\":1}]}";
    let input = format!("{line}\n{line}\n");
    let records: Vec<_> =
        Records::of(input.as_bytes(), &mapping).flatten().map(|record| record.bytes).collect();
    assert_eq!(records, [line.as_bytes(), line.as_bytes()]);
    let named = Mapping::parse("format = 'shop'\nrecords = 'a.list'\n[event]\naction = 'do'")
        .expect("a good mapping");
    let input = format!("{{\"do\":1,\"a\":{{\"list\":[{line}]}}}}");
    let records: Vec<_> =
        Records::of(input.as_bytes(), &named).flatten().map(|record| record.bytes).collect();
    assert_eq!(records, [line.as_bytes()]);
}

#[test]
fn objects_over_several_lines() {
    check(b"{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n", &[(1, "{\n  \"a\": 1\n}"), (4, "{\n  \"a\": 2\n}")]);
    check(b"{\"a\":1}{\"a\":2}\n{\"a\":3}", &[(1, "{\"a\":1}"), (1, "{\"a\":2}"), (2, "{\"a\":3}")]);
    check(b"{\n\"a\":1}\nno\n{\"a\":2}", &[(1, "{\n\"a\":1}"), (3, "no"), (4, "{\"a\":2}")]);
    check(b"{\"a\":\n{\"b\":1}\n{\"c\":1}\n", &[(1, "!a record"), (2, "{\"b\":1}"), (3, "{\"c\":1}")]);
    check(b"{\"a\":\"x\n{\"b\":1}\n", &[(1, "{\"a\":\"x"), (2, "{\"b\":1}")]);
}

#[test]
fn tables_and_audit_lines_may_take_several_lines() {
    check(b"a,b\n1,\"x\ny\"\n\n2,z\n", &[(2, "1,\"x\ny\""), (5, "2,z")]);
    check(b"a,b\n1,\"x\n2,z\n", &[(2, "!a quoted field"), (3, "2,z")]);
    let (one, two) = ("type=A msg=audit(1.0:1): a=1", "type=B msg=audit(1.0:1): b=1");
    let other = "type=A msg=audit(1.0:2): a=1";
    check(format!("{one}\n{two}\n{other}\n").as_bytes(), &[(1, &format!("{one}\n{two}")), (3, other)]);
}

#[test]
fn one_huge_container_takes_little_memory() {
    /// Gives the same bytes again and again, between a beginning and an end.
    struct Endless(Vec<u8>, usize, usize);
    impl io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Endless(bytes, at, left) = self;
            let len = buffer.len().min(bytes.len() - *at).min(*left);
            buffer[..len].copy_from_slice(&bytes[*at..*at + len]);
            *left -= len;
            *at = if *at + len == bytes.len() { 0 } else { *at + len };
            Ok(len)
        }
    }
    let record = format!("{{\"a\":\"{}\"}},", "x".repeat(1000));
    let times = 64 * 1024;
    let middle = Endless(record.clone().into_bytes(), 0, record.len() * times);
    let reader = (&b"{\"meta\":{},\"records\":["[..]).chain(middle).chain(&b"{\"a\":1}]}"[..]);
    let mut records = Records::new(io::BufReader::new(reader));
    let count = records.by_ref().filter(Result::is_ok).count();
    assert_eq!(count, times + 1);
    assert!(records.source.held() <= 2 * head::HEAD_BYTES, "{} bytes are held", records.source.held());
}

#[test]
fn what_came_before_an_input_broke_off_is_read() {
    struct Broken(Option<&'static [u8]>);
    impl io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.take().ok_or_else(|| io::Error::other("the disk is gone"))?;
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }
    let found: Vec<_> = Records::new(io::BufReader::new(Broken(Some(b"{\n\"a\":1}")))).take(3).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].as_ref().is_ok_and(|record| record.bytes == b"{\n\"a\":1}"), "{found:?}");
    assert!(found[1].as_ref().is_err_and(|failed| failed.reason.contains("the disk is gone")), "{found:?}");
}
