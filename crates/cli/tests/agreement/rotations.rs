//! Trails whose key was rotated, and what somebody makes of them who has a key, old or own.

use trailseal_tlog::{Checkpoint, Hash, Origin, Rotation, SigningKey, leaf_hash};

use super::{Copy, ORIGIN, PINS, Pins, agreed, change, compare, events};
use crate::support::Place;

/// A trail that had three keys; `key` pins the first, and `given` was kept before the first rotation. All keys are told.
pub(super) fn rotated() -> (Place, [SigningKey; 3]) {
    let place = Place::new();
    place.write("trailseal.toml", format!("origin = \"{ORIGIN}\"\n[segment]\nroll = \"40KiB\"\n"));
    let signing = || {
        let text = std::fs::read_to_string(place.path("trail/keys/signing.key")).unwrap();
        SigningKey::from_private_string(text.trim()).unwrap()
    };
    place.feed("record", events(0, 100)).ok();
    place.write("key", place.public_key());
    place.write("given", place.run("checkpoint").ok().out);
    let first = signing();
    place.run("key rotate").ok();
    place.feed("record", events(100, 100)).ok();
    let second = signing();
    place.run("key rotate").ok();
    place.feed("record", events(200, 100)).ok();
    let third = signing();
    (place, [first, second, third])
}

/// What a note says of the tree.
fn tree_of(note: &str) -> (u64, Hash) {
    let checkpoint = Checkpoint::parse(&note[..=note.find("\n\n").unwrap()]).unwrap();
    (checkpoint.size, checkpoint.root)
}

/// The rotation lines of a note.
fn rotation_lines(note: &str) -> String {
    let signatures = note.split_once("\n\n").unwrap().1.lines();
    // An ordinary signature has 68 bytes, a rotation 108.
    signatures.filter(|line| line.len() > ORIGIN.len() + 100).map(|line| format!("{line}\n")).collect()
}

struct Forger {
    origin: Origin,
    note: String,
    keys: [SigningKey; 3],
    stranger: SigningKey,
}

impl Forger {
    /// The tree of the newest checkpoint, signed by this key alone.
    fn signed_by(&self, key: &SigningKey) -> String {
        let (size, root) = tree_of(&self.note);
        Checkpoint::new(self.origin.clone(), size, root).sign(key)
    }

    fn rotation(&self, old: &SigningKey, new: &SigningKey, size: u64) -> String {
        Rotation::sign(&self.origin, old, &new.verifying_key(), size).to_signature_line()
    }
}

#[test]
fn on_rotations() {
    let (place, keys) = rotated();
    for pins in PINS {
        let verdict = agreed(&place, "trail", pins, "as it is").unwrap();
        assert_eq!(verdict["ok"], true, "{pins:?}: {verdict}");
    }
    let text = |name: &str| std::fs::read_to_string(place.path("trail").join(name)).unwrap();
    let (note, toml) = (text("checkpoint"), text("trail.toml"));
    let origin = Origin::new(ORIGIN).unwrap();
    let stranger = SigningKey::from_seed(ORIGIN, &[9; 32]);
    let forger = Forger { origin, note: note.clone(), keys, stranger };
    let [first, second, third] = &forger.keys;
    let (lines, tables) = (rotation_lines(&note), toml.matches("[[key]]").count());
    assert_eq!((lines.lines().count(), tables), (2, 3), "{note}\n{toml}");
    let size = tree_of(&note).0;
    // The first size that the second key signs.
    let at: u64 = toml.split("to = ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();

    let put = |name: &'static str, text: String| {
        change(move |copy| std::fs::write(copy.path(name), &text).unwrap())
    };
    let newest = |text: String| put("checkpoint", text);
    let manifest = |text: String| put("trail.toml", text);
    let last_table = toml.rfind("[[key]]").unwrap();
    let own = format!("[[key]]\npublic_key = \"{}\"\nfrom = ", forger.stranger.verifying_key());
    let forged_line = forger.rotation(&forger.stranger, third, at);
    let voucher =
        |table: usize| toml.split("vouched = ").nth(table).unwrap().lines().next().unwrap().to_owned();
    compare(
        &place,
        &PINS,
        vec![
            ("a retired key signs on", Some("key_unknown"), newest(forger.signed_by(first) + &lines)),
            ("a retired key signs on, and hides that", Some("key_unknown"), newest(forger.signed_by(first))),
            ("the second key signs on", Some("key_unknown"), newest(forger.signed_by(second) + &lines)),
            ("a stranger signs", Some("key_unknown"), newest(forger.signed_by(&forger.stranger) + &lines)),
            (
                "a stranger is vouched for by a stranger",
                Some("key_unknown"),
                newest(forger.signed_by(&forger.stranger) + &forged_line + &lines),
            ),
            (
                "the first key vouches for two",
                Some("rotation_invalid"),
                newest(note.clone() + &forger.rotation(first, &forger.stranger, at)),
            ),
            (
                "the first key vouches for one from two sizes on",
                Some("rotation_invalid"),
                newest(note.clone() + &forger.rotation(first, second, at + 1)),
            ),
            (
                "a rotation that trail.toml does not name",
                Some("rotation_invalid"),
                newest(
                    forger.signed_by(&forger.stranger)
                        + &lines
                        + &forger.rotation(third, &forger.stranger, size - 1),
                ),
            ),
            (
                "a rotation of just this size: a machine stopped before trail.toml",
                None,
                newest(note.clone() + &forger.rotation(third, &forger.stranger, size)),
            ),
            (
                "a rotation that ended the key before",
                Some("key_unknown"),
                newest(note.clone() + &forger.rotation(third, &forger.stranger, size - 1)),
            ),
            (
                "the newest checkpoint carries no rotation",
                Some("rotation_invalid"),
                newest(forger.signed_by(third)),
            ),
            ("a voucher is gone", Some("rotation_invalid"), manifest(toml.replacen("vouched = ", "# ", 1))),
            (
                "a voucher of another",
                Some("rotation_invalid"),
                manifest(toml.replace(&voucher(1), &format!("'{}'", forged_line.trim_end()))),
            ),
            ("vouchers changed places", Some("rotation_invalid"), {
                let both = (voucher(1), voucher(2));
                manifest(toml.replace(&both.0, "@").replace(&both.1, &both.0).replace('@', &both.1))
            }),
            (
                "a voucher that is no line",
                Some("rotation_invalid"),
                manifest(toml.replace(&voucher(2), "\"x\"")),
            ),
            (
                "another size to end with",
                Some("rotation_invalid"),
                manifest(toml.replacen(&format!("to = {at}"), &format!("to = {}", at + 1), 1)),
            ),
            (
                "another size to begin with",
                Some("rotation_invalid"),
                manifest(toml.replacen(&format!("from = {at}"), &format!("from = {}", at - 1), 1)),
            ),
            (
                "the last key is gone",
                Some("rotation_invalid"),
                manifest({
                    let cut = &toml[..last_table];
                    let at = cut.rfind("to = ").unwrap();
                    let end = at + cut[at..].find('\n').unwrap();
                    format!("{}{}", &cut[..at], &cut[end..])
                }),
            ),
            (
                "a key without a voucher behind",
                Some("rotation_invalid"),
                manifest(format!("{toml}\n{own}{size}\n")),
            ),
        ],
    );
    let copy = Copy::of(&place);
    let front = toml.replacen("[[key]]", &format!("{own}0\n\n[[key]]"), 1);
    std::fs::write(copy.path("trail.toml"), front).unwrap();
    for pins in PINS {
        let verdict = agreed(&place, "copy", pins, "a key without a voucher in front").unwrap();
        assert_eq!(verdict["ok"], false, "{pins:?}: {verdict}");
    }
}

#[test]
fn on_kept_checkpoints_of_retired_keys() {
    let (place, [first, second, third]) = rotated();
    let origin = Origin::new(ORIGIN).unwrap();
    let text = |name: &str| std::fs::read_to_string(place.path("trail").join(name)).unwrap();
    let (note, toml) = (text("checkpoint"), text("trail.toml"));
    let at: u64 = toml.split("to = ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    // The genuine roots of some sizes, from the lines themselves.
    let lines = place.run("export --format jsonl --system").ok().out;
    let root = |size: u64| {
        let mut edge = trailseal_tlog::TileEdge::new();
        for line in lines.lines().take(usize::try_from(size).unwrap()) {
            edge.push(leaf_hash(line.as_bytes()), &mut |_, _| {});
        }
        edge.root()
    };
    let rotations = rotation_lines(&note);
    let keep = |size: u64, key: &SigningKey, lines: &str| {
        let text = Checkpoint::new(origin.clone(), size, root(size)).sign(key) + lines;
        change(move |copy| std::fs::write(copy.path(&format!("checkpoints/{size}")), &text).unwrap())
    };
    compare(
        &place,
        &PINS,
        vec![
            ("by the first, before", None, keep(at - 9, &first, "")),
            ("by the first, at the last", None, keep(at, &first, &rotations)),
            ("by the first, after", Some("key_unknown"), keep(at + 1, &first, "")),
            ("by the second, before", Some("key_unknown"), keep(at - 9, &second, &rotations)),
            ("by the second, from its first on", None, keep(at, &second, &rotations)),
            ("by the third, before", Some("key_unknown"), keep(at + 9, &third, &rotations)),
        ],
    );
    // Who pins the key of today still has kept checkpoints by those before it.
    place.write("key", third.verifying_key().to_string());
    compare(
        &place,
        &[Pins::Key],
        vec![
            ("as it is, by the last key", None, change(|_| {})),
            ("by the first, before", None, keep(at - 9, &first, "")),
            ("by the first, after", Some("key_unknown"), keep(at + 1, &first, "")),
        ],
    );
    // A checkpoint that was kept elsewhere and carries a rotation outlaws larger ones by the old key, though the folder
    // has no trace of it.
    let copy = Copy::of(&place);
    place.write("key", first.verifying_key().to_string());
    place.write("given", Checkpoint::new(origin.clone(), at, root(at)).sign(&second) + &rotations);
    let (size, newest_root) = tree_of(&note);
    std::fs::write(copy.path("checkpoint"), Checkpoint::new(origin, size, newest_root).sign(&first)).unwrap();
    let first_table = &toml[..toml[..toml.rfind("[[key]]").unwrap()].rfind("[[key]]").unwrap()];
    let alone = first_table.lines().filter(|line| !line.starts_with("to = ")).collect::<Vec<_>>().join("\n");
    std::fs::write(copy.path("trail.toml"), alone + "\n").unwrap();
    for kept in copy.kept() {
        std::fs::remove_file(copy.path(&format!("checkpoints/{kept}"))).unwrap();
    }
    assert_eq!(agreed(&place, "copy", Pins::Key, "the rotation is hidden").unwrap()["ok"], true);
    let verdict = agreed(&place, "copy", Pins::KeyAndCheckpoint, "a given one tells of it").unwrap();
    assert_eq!(verdict["ok"], false, "{verdict}");
}
