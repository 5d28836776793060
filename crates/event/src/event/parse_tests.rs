use super::*;

/// Parses, and compares what comes out as JSON, and the notes as `path=original`.
fn check(json: &str, expected: &str, notes: &[&str]) {
    let parsed = Parsed::parse(json.as_bytes()).unwrap();
    let found: Vec<String> = parsed
        .notes
        .iter()
        .map(|note| match &note.original {
            Some(original) => format!("{}={original}", note.path),
            None => note.path.clone(),
        })
        .collect();
    assert_eq!(
        (parsed.value.to_string().as_str(), found),
        (expected, notes.iter().map(|n| n.to_string()).collect())
    );
}

fn check_error(json: &[u8], offset: usize) {
    assert_eq!(Value::parse(json).map_err(|error| error.offset), Err(offset), "{}", json.escape_ascii());
}

#[test]
fn keeps_order_and_number_text() {
    check(
        r#" { "b" : 1.50 , "a" : [ -0 , 1E5 , 18446744073709551615 ] } "#,
        r#"{"b":1.50,"a":[-0,1E5,18446744073709551615]}"#,
        &[],
    );
    check("[]", "[]", &[]);
    check("{\"\":{}}", "{\"\":{}}", &[]);
    check(r#""\u0000\/\ud83d\ude00\b""#, r#""\u0000/😀\b""#, &[]);
}

#[test]
fn numbers_that_do_not_fit_are_text() {
    check(r#"{"a":[1e999,-1e999]}"#, r#"{"a":["1e999","-1e999"]}"#, &["a.0", "a.1"]);
    check("18446744073709551616", "\"18446744073709551616\"", &[""]);
    check("-9223372036854775809", "\"-9223372036854775809\"", &[""]);
    let long = format!("0.{}", "1".repeat(NUMBER_BYTES_MAX));
    check(&long, &format!("\"{long}\""), &[""]);
}

#[test]
fn half_a_surrogate_pair_is_replaced_and_noted() {
    check(r#"{"a":"x\ud800y"}"#, "{\"a\":\"x\u{fffd}y\"}", &[r#"a="\"x\\ud800y\"""#]);
    check(r#""\udc00\ud800\u0041""#, "\"\u{fffd}\u{fffd}A\"", &[r#"="\"\\udc00\\ud800\\u0041\"""#]);
}

#[test]
fn of_doubled_keys_the_last_counts_and_the_others_are_noted() {
    check(r#"{"a":1,"b":{"c":1,"c":2},"a":3,"a":4}"#, r#"{"b":{"c":2},"a":4}"#, &["b.c=1", "a=1", "a=3"]);
    let many: Vec<String> = (0..40).map(|key| format!("\"{}\":{key}", key % 20)).collect();
    let parsed = Parsed::parse(format!("{{{}}}", many.join(",")).as_bytes()).unwrap();
    assert_eq!((parsed.value.as_object().unwrap().len(), parsed.notes.len()), (20, 20));
}

#[test]
fn nesting_is_kept_as_text_below_the_limit() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    check(&nested(DEPTH_MAX), &nested(DEPTH_MAX), &[]);
    let parsed = Parsed::parse(nested(100_000).as_bytes()).unwrap();
    assert_eq!(parsed.notes.len(), 1);
    let innermost = (1..DEPTH_MAX).fold(&parsed.value, |value, _| &value.as_array().unwrap()[0]);
    assert_eq!(innermost.as_array().unwrap()[0].as_str(), Some(nested(100_000 - DEPTH_MAX).as_str()));
    let deep = format!("{}{{\"a\":[1,{{}},\"x\",null],\"b\":[]}}{}", "[".repeat(64), "]".repeat(64));
    assert!(Parsed::parse(deep.as_bytes()).is_ok());
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    check_error(b"", 0);
    check_error(b"{\"a\":1} x", 8);
    check_error(b"{\"a\":\"\xff\"}", 6);
    check_error(b"{\"a\" 1}", 5);
    check_error(b"{a:1}", 1);
    check_error(b"{\"a\":1,}", 7);
    check_error(b"[1,]", 3);
    check_error(b"[1 2]", 3);
    check_error(b"\"a\nb\"", 2);
    check_error(b"\"a", 2);
    check_error(b"\"\\x\"", 1);
    check_error(b"\"\\u12g4\"", 1);
    for number in ["01", "-", "1.", ".5", "1e", "+1", "0x1", "NaN", "Infinity"] {
        assert!(Value::parse(number.as_bytes()).is_err(), "{number}");
    }
    for end in ["[", "{", "{\"a\"", "[1,", "]", "[}", "{\"a\":]"] {
        let deep = format!("{}{end}", "[".repeat(10_000));
        assert!(Value::parse(deep.as_bytes()).is_err(), "{end}");
    }
}

#[test]
fn hostile_sizes_end_well() {
    let numbers = format!("{{\"{}\":[{}1]}}", "k".repeat(1_000_000), "1e999,".repeat(100_000));
    let parsed = Parsed::parse(numbers.as_bytes()).unwrap();
    assert_eq!(parsed.notes.len(), NOTES_MAX + 1);
    assert!(parsed.notes.iter().all(|note| note.path.len() <= PATH_BYTES_MAX + AND_MORE.len()));
    let keys: Vec<String> = (0..100_000).map(|key| format!("\"{key}\":0")).collect();
    assert!(Parsed::parse(format!("{{{}}}", keys.join(",")).as_bytes()).unwrap().notes.is_empty());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        let _ = Parsed::parse(&bytes);
    }

    #[test]
    fn accepts_exactly_what_serde_json_accepts(text in r#"[\[\]{}:,"\\a0-2eE.+\- u]{0,12}"#) {
        let ours = Parsed::parse(text.as_bytes());
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(theirs) => {
                let ours = ours.unwrap();
                if ours.notes.is_empty() {
                    let again: serde_json::Value = serde_json::from_slice(&ours.value.to_json()).unwrap();
                    proptest::prop_assert_eq!(again, theirs);
                }
            }
            // What only the content speaks against is noted instead.
            Err(_) => proptest::prop_assert!(ours.is_err() || !ours.unwrap().notes.is_empty()),
        }
    }
}
