use proptest::prelude::*;
use trailseal_event::Parsed;

use super::read::plain_len;
use super::*;

const LEVELS: usize = 6;

/// What [`Tree::read`] takes is what the parser reads, and nothing was changed there.
#[track_caller]
fn check(text: &str) -> bool {
    let mut tree = Tree::default();
    let Some(root) = tree.read(text, LEVELS) else { return false };
    assert_eq!(Some(root.to_value()), Value::parse_within(text.as_bytes(), LEVELS).ok(), "{text}");
    let notes = Parsed::parse(text.as_bytes()).expect("JSON").notes;
    assert!(notes.is_empty(), "{text}: {notes:?}");
    true
}

#[test]
fn ordinary_texts_are_taken_and_others_are_not() {
    for text in [
        r#"{"a":[1,-2.50,{"b":null}],"c":"x\n\u00e4","d":{},"e":[],"f":true}"#,
        " { \"a\" : [ 1 , false ] , \"b\" : \"\" } ",
        r#"{"aab":1,"aabc":2,"AAB":3}"#,
        "7",
        "[[[[[[1]]]]]]",
    ] {
        assert!(check(text), "{text}");
    }
    for text in [
        r#"{"a":1,"b":2,"a":3}"#,
        r#"{"\u0061":1}"#,
        r#"{"a":"\ud800"}"#,
        "[[[[[[[1]]]]]]]",
        "1e5",
        "01",
        "-",
        "1.",
        "12345678901234567890",
        "[1,]",
        "[1 2]",
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{"a":1]"#,
        "[1}",
        "\"a\tb\"",
        "\"\\x\"",
        "\"a",
        "tru",
        "{} {}",
        "",
    ] {
        assert!(!check(text), "{text}");
    }
}

#[test]
fn a_text_is_plain_up_to_the_first_special_byte_wherever_that_is() {
    for special in [b'"', b'\\', 0x1f, 0] {
        for at in 0..20 {
            let mut bytes = [0x21_u8, 0xff, 0x7f, 0xa2, 0xdc, 0x20, 0x23].repeat(3);
            assert_eq!(plain_len(&bytes), bytes.len());
            bytes[at] = special;
            assert_eq!(plain_len(&bytes), at, "{special} {at}");
        }
    }
}

#[test]
fn hashes_go_by_letters_in_any_case() {
    assert_eq!(hash(b"eventName"), hash(b"EVENTNAME"));
    assert_eq!(hash(b"userIdentity.sessionContext"), hash(b"USERIDENTITY.sessioncontext"));
    assert_ne!(hash(b"eventName"), hash(b"eventNames"));
    assert_ne!(hash(b"a"), hash(b"b"));
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        "-?[0-9]{1,20}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{1,3})?",
        "[ -~äß\u{2028}]{0,12}".prop_map(|text| Value::String(text).to_string()),
        r#""(\\u[dD0][89ab0-9]{3}|\\n|a)*""#,
    ];
    let key = prop_oneof![r#""[a-cA-C]{1,2}""#, r#""(a|\\n|\\u0061){0,3}""#, r#""[a-z]{7,10}""#];
    leaf.prop_recursive(LEVELS as u32 + 1, 40, 5, move |inner| {
        let space = prop::sample::select(vec!["", " ", "\n", "\t\r"]);
        let member = (key.clone(), inner.clone(), space.clone())
            .prop_map(|(key, value, space)| format!("{space}{key}{space}:{value}{space}"));
        prop_oneof![
            (prop::collection::vec(inner, 0..4), space)
                .prop_map(|(list, space)| format!("[{space}{}{space}]", list.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn a_tree_is_what_the_parser_reads(text in json()) {
        check(&text);
    }

    #[test]
    fn damaged_texts_are_no_trees_unless_the_parser_reads_them(
        text in json(), at in any::<prop::sample::Index>(), with in "[\\[\\]{}:,\"\\\\0e. \u{1}a]{0,2}",
    ) {
        let at = text.floor_char_boundary(at.index(text.len() + 1).min(text.len()));
        let behind = text.ceil_char_boundary((at + with.len()).min(text.len()));
        check(&format!("{}{with}{}", &text[..at], &text[behind..]));
    }

    #[test]
    fn a_tree_of_a_value_is_that_value(text in json()) {
        if let Ok(value) = Value::parse(text.as_bytes()) {
            prop_assert_eq!(Owned::of(&value).root().to_value(), value);
        }
    }
}
