//! Checkpoints, and what `trail.toml` says.

use serde_json::json;

use super::{Copy, ORIGIN, PINS, Pins, agreed, change, compare, trail};

#[test]
fn on_checkpoints_and_trail_toml() {
    let place = trail();
    // Another trail of the same size, to exchange files with.
    let other = trail();
    let put = move |name: &'static str, bytes: Vec<u8>| {
        change(move |copy| std::fs::write(copy.path(name), &bytes).unwrap())
    };
    let text = |name: &str| std::fs::read_to_string(place.path("trail").join(name)).unwrap();
    let (newest, toml) = (text("checkpoint"), text("trail.toml"));
    let foreign = newest.replace(ORIGIN, "example.org/other");
    let at = newest.find("\n\n").unwrap() + 30;
    let mut bad_signature = newest.clone().into_bytes();
    bad_signature[at + 30] = if bad_signature[at + 30] == b'A' { b'B' } else { b'A' };
    let stranger = format!("— example.org/stranger {}\n", "AAAAAAAA");
    let kept_other = change(|copy| {
        let sizes = copy.kept();
        std::fs::copy(copy.path(&format!("checkpoints/{}", sizes[0])), copy.path("checkpoints/77")).unwrap();
    });
    let kept_damaged = change(|copy| {
        let size = copy.kept()[0];
        std::fs::write(copy.path(&format!("checkpoints/{size}")), "no note").unwrap();
    });
    let unknown = "a key that signs other trails";
    let theirs = std::fs::read_to_string(other.path("trail/checkpoint")).unwrap();
    compare(
        &place,
        &PINS,
        vec![
            (
                "no checkpoint",
                Some("checkpoint_missing"),
                change(|copy| std::fs::remove_file(copy.path("checkpoint")).unwrap()),
            ),
            ("an empty one", Some("checkpoint_invalid"), put("checkpoint", Vec::new())),
            (
                "one of another size",
                Some("signature_invalid"),
                put("checkpoint", newest.replacen('\n', "\n1", 1).into()),
            ),
            (
                "a size with a zero in front",
                Some("checkpoint_invalid"),
                put("checkpoint", newest.replacen('\n', "\n0", 1).into()),
            ),
            ("a changed signature", Some("signature_invalid"), put("checkpoint", bad_signature)),
            ("another origin", Some("origin_mismatch"), put("checkpoint", foreign.into())),
            ("a stranger's signature beside", None, put("checkpoint", (newest.clone() + &stranger).into())),
            ("another trail's", Some("key_unknown"), put("checkpoint", theirs.into())),
            (
                "a control character",
                Some("checkpoint_invalid"),
                put("checkpoint", newest.replace("\n\n", "\n\t\n\n").into()),
            ),
            ("no line end", Some("checkpoint_invalid"), put("checkpoint", newest.trim_end().into())),
            ("a kept one under another name", Some("checkpoint_invalid"), kept_other),
            ("a kept one is damaged", Some("checkpoint_invalid"), kept_damaged),
            ("a name that is no number", None, put("checkpoints/0700", b"x".to_vec())),
            (
                "kept ones are gone",
                None,
                change(|copy| {
                    for size in copy.kept() {
                        std::fs::remove_file(copy.path(&format!("checkpoints/{size}"))).unwrap();
                    }
                }),
            ),
            (
                "another time of creation",
                None,
                put("trail.toml", toml.replacen("created = \"2", "created = \"1", 1).into()),
            ),
        ],
    );
    let wrong = [
        ("no trail.toml", None),
        ("no TOML", Some("format =".to_owned())),
        ("another format", Some(toml.replace("format = 1", "format = 2"))),
        ("an unknown field", Some(format!("more = 1\n{toml}"))),
        ("an unknown field of a key", Some(format!("{toml}more = 1\n"))),
        ("a time of creation that is none", Some(toml.replacen("created = \"", "created = \"x", 1))),
        ("a damaged key", Some(toml.replacen('+', "+0", 1))),
        ("a size below 0", Some(toml.replacen("from = 0", "from = -1", 1))),
        ("a size that is a text", Some(toml.replacen("from = 0", "from = \"0\"", 1))),
    ];
    for (what, text) in wrong {
        let copy = Copy::of(&place);
        match text {
            Some(text) => std::fs::write(copy.path("trail.toml"), text).unwrap(),
            None => std::fs::remove_file(copy.path("trail.toml")).unwrap(),
        }
        for pins in PINS {
            let verdict = agreed(&place, "copy", pins, what).unwrap();
            assert_eq!(verdict["problem"], "manifest_invalid", "{what}, {pins:?}: {verdict}");
        }
    }
    // Given from outside: another trail's key, a larger checkpoint, another history.
    for (what, key, given, code) in [
        (unknown, other.read("key"), None, "key_unknown"),
        ("a checkpoint of another trail", place.read("key"), Some(other.read("given")), "key_unknown"),
    ] {
        let kept = (place.read("key"), place.read("given"));
        place.write("key", key);
        place.write("given", given.unwrap_or_else(|| kept.1.clone()));
        let pins = if code == "key_unknown" && what == unknown { Pins::Key } else { Pins::KeyAndCheckpoint };
        assert_eq!(agreed(&place, "trail", pins, what).unwrap()["problem"], code);
        place.write("key", kept.0);
        place.write("given", kept.1);
    }
    let copy = Copy::of(&place);
    place.write("given", &newest);
    let size = copy.set_back(0);
    let verdict = agreed(&place, "copy", Pins::KeyAndCheckpoint, "set back").unwrap();
    assert_eq!((&verdict["problem"], &verdict["first_bad"]), (&json!("rollback"), &json!(size)));
    place.write("given", "no checkpoint");
    assert_eq!(agreed(&place, "trail", Pins::KeyAndCheckpoint, "given: none"), None);
}
