//! Notes, checkpoints, keys and rotations, also against the crate `signed_note`.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use proptest::prelude::*;
use signed_note::{Note, StandardVerifier, VerifierList};
use trailseal_tlog::{
    Checkpoint, CheckpointError, ConsistencyProof, KeyError, KeyRing, NoteError, Origin, Rotation,
    SignedNote, SigningKey, TlogProof, VerifyingKey, leaf_hash,
};

fn origin() -> Origin {
    Origin::new("example.com/log/1").unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(origin().as_str(), &[seed; 32])
}

fn note() -> String {
    Checkpoint::new(origin(), 42, leaf_hash(b"x")).sign(&key(1))
}

#[test]
fn a_foreign_crate_believes_our_checkpoint() {
    let verifier = StandardVerifier::new(&key(1).verifying_key().to_string()).unwrap();
    let note = Note::from_bytes(note().as_bytes()).unwrap();
    let (verified, _) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!(verified.len(), 1);
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), ("example.com/log/1", 42));
}

#[test]
fn keys_of_go_sumdb_note_are_read() {
    // The example key of golang.org/x/mod/sumdb/note.
    let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let key = VerifyingKey::parse(text).unwrap();
    assert_eq!(key.to_string(), text);
    let signed = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note = SignedNote::parse(signed).unwrap();
    assert_eq!(note.verify(std::slice::from_ref(&key)), Ok(&key));
    assert_eq!(note.to_string(), signed);
    assert_eq!(VerifyingKey::parse(&text.replace("c74f20a3", "c74f20a4")), Err(KeyError::Hash));
    assert_eq!(VerifyingKey::parse("no key"), Err(KeyError::Form));
}

#[test]
fn a_private_key_round_trips_and_is_not_shown() {
    let private = key(3).to_private_string();
    assert_eq!(SigningKey::from_private_string(&private).unwrap().seed(), [3; 32]);
    assert!(!format!("{:?}", key(3)).contains(private.rsplit('+').next().unwrap()));
}

#[test]
fn checkpoints_say_why_they_are_not_believed() {
    let keys = [key(1).verifying_key()];
    let check = |note: &str, expected: Option<CheckpointError>| {
        assert_eq!(Checkpoint::open(note, &origin(), &keys).err(), expected, "{note}");
    };
    check(&note(), None);
    check(&note().replace("\n42\n", "\n43\n"), Some(CheckpointError::BadSignature));
    check(
        &note().replace("\n42\n", "\n042\n"),
        Some(CheckpointError::Malformed("the tree size is not a decimal number")),
    );
    let other = Checkpoint::new(Origin::new("other").unwrap(), 1, leaf_hash(b"")).sign(&key(1));
    let wrong = CheckpointError::Origin { found: "other".into(), wanted: origin().to_string() };
    check(&other, Some(wrong));
    check(&Checkpoint::new(origin(), 42, leaf_hash(b"x")).sign(&key(2)), Some(CheckpointError::UnknownKey));
    check("", Some(CheckpointError::Malformed("no empty line before the signatures")));
}

#[test]
fn a_key_speaks_only_for_the_trail_it_is_named_after() {
    let stranger = SigningKey::from_seed("example.com/log/2", &[4; 32]);
    let pinned = [key(1).verifying_key(), stranger.verifying_key()];
    let forged = Checkpoint::new(origin(), 42, leaf_hash(b"x")).sign(&stranger);
    assert_eq!(Checkpoint::open(&forged, &origin(), &pinned), Err(CheckpointError::UnknownKey));
    let vouched = Rotation::sign(&origin(), &stranger, &key(2).verifying_key(), 1).to_signature_line();
    let mut ring = KeyRing::new(origin(), &pinned);
    ring.learn(&SignedNote::parse(&(note() + &vouched)).unwrap()).unwrap();
    assert_eq!(trusted(&ring), pinned[..1]);
}

#[test]
fn an_empty_tree_has_the_empty_root() {
    let text = |root: trailseal_tlog::Hash| format!("a\n0\n{}\n", root.to_base64());
    assert!(Checkpoint::parse(&text(trailseal_tlog::empty_root())).is_ok());
    assert!(Checkpoint::parse(&text(leaf_hash(b"x"))).is_err());
}

#[test]
fn origins_are_checked() {
    for good in ["a", "example.com/billing/node-1", "tiles/checkpoints"] {
        assert!(Origin::new(good).is_ok(), "{good}");
    }
    for bad in ["", "a b", "a+b", "a//b", "a/tile", "checkpoint/a", "é", "a\n", &"x".repeat(256)] {
        assert!(Origin::new(bad).is_err(), "{bad}");
    }
}

fn trusted(ring: &KeyRing) -> Vec<VerifyingKey> {
    ring.keys().iter().map(|entry| entry.key.clone()).collect()
}

fn learned(pinned: &VerifyingKey, note: &str) -> KeyRing {
    let mut ring = KeyRing::new(origin(), std::slice::from_ref(pinned));
    ring.learn(&SignedNote::parse(note).unwrap()).unwrap();
    ring
}

fn checkpoint(size: u64, by: &SigningKey) -> String {
    Checkpoint::new(origin(), size, leaf_hash(b"x")).sign(by)
}

fn rotation(from: u8, to: u8, size: u64) -> String {
    Rotation::sign(&origin(), &key(from), &key(to).verifying_key(), size).to_signature_line()
}

#[test]
fn a_chain_of_rotations_leads_from_a_pinned_key_to_a_later_one_and_only_then() {
    let keys = [key(1), key(2), key(3)];
    let public: Vec<VerifyingKey> = keys.iter().map(SigningKey::verifying_key).collect();
    let (first, second) = (rotation(1, 2, 4), rotation(2, 3, 7));
    let text = checkpoint(9, &keys[2]) + &first + &second;
    assert_eq!(trusted(&learned(&public[0], &text)), public);
    assert_eq!(trusted(&learned(&public[1], &text)), public[1..]);
    assert!(KeyRing::new(origin(), &public[..1]).open(&text).is_ok());
    let broken = text.replace(&first, "");
    assert_eq!(trusted(&learned(&public[0], &broken)), public[..1]);
    let stranger = key(9).verifying_key();
    assert_eq!(trusted(&learned(&stranger, &text)), std::slice::from_ref(&stranger));
}

#[test]
fn each_key_signs_its_own_sizes_and_both_that_of_the_rotation() {
    let text = checkpoint(9, &key(2)) + &rotation(1, 2, 4);
    let ring = learned(&key(1).verifying_key(), &text);
    for size in 1..9 {
        assert_eq!(ring.open(&checkpoint(size, &key(1))).is_ok(), size <= 4, "the old key at {size}");
        assert_eq!(ring.open(&checkpoint(size, &key(2))).is_ok(), size >= 4, "the new key at {size}");
    }
    let retired = ring.open(&checkpoint(9, &key(1))).unwrap_err();
    assert_eq!(retired, CheckpointError::NotItsSize { size: 9, to: Some(4) });
    // Whoever pinned the new key holds it to its sizes, too, once it is known where they begin.
    let mut ring = KeyRing::new(origin(), &[key(1).verifying_key(), key(2).verifying_key()]);
    assert!(ring.open(&checkpoint(3, &key(2))).is_ok());
    ring.learn(&SignedNote::parse(&text).unwrap()).unwrap();
    assert!(ring.open(&checkpoint(3, &key(2))).is_err());
    // A note that shows its own key to be rotated away is not that key's to sign.
    let alone = KeyRing::new(origin(), &[key(1).verifying_key()]);
    assert!(alone.open(&(checkpoint(9, &key(1)) + &rotation(1, 2, 4))).is_err());
}

#[test]
fn two_rotations_of_one_key_contradict_each_other() {
    let mut ring = learned(&key(1).verifying_key(), &(checkpoint(9, &key(2)) + &rotation(1, 2, 4)));
    for other in [rotation(1, 2, 5), rotation(1, 3, 4)] {
        let note = checkpoint(9, &key(3)) + &other;
        let before = ring.clone();
        assert!(ring.learn(&SignedNote::parse(&note).unwrap()).is_err());
        assert_eq!(ring, before);
        assert!(matches!(ring.open(&note), Err(CheckpointError::Rotation(_))));
    }
}

#[test]
fn a_changed_rotation_vouches_for_nobody() {
    let line = rotation(1, 2, 4);
    let key = key(1).verifying_key();
    assert_eq!(Rotation::parse(&origin(), &key, &line).unwrap().to_signature_line(), line);
    let (start, data) = line.trim_end().rsplit_once(' ').unwrap();
    for at in 0..data.len() {
        let mut changed = data.to_owned().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = format!("{start} {}", String::from_utf8(changed).unwrap());
        assert_eq!(Rotation::parse(&origin(), &key, &changed), None, "{changed}");
    }
}

#[test]
fn proofs_as_text_round_trip() {
    for extra in [None, Some(b"{\"a\":1}".to_vec())] {
        for count in [0, 1, 20] {
            let proof = TlogProof {
                extra: extra.clone(),
                index: 7,
                hashes: vec![leaf_hash(b"h"); count],
                checkpoint: note(),
            };
            assert_eq!(TlogProof::parse(&proof.to_text()), Ok(proof));
        }
    }
    for count in [0, 1, 9] {
        let proof = ConsistencyProof { hashes: vec![leaf_hash(b"h"); count], old: note(), new: note() };
        assert_eq!(ConsistencyProof::parse(&proof.to_text()), Ok(proof));
    }
    assert!(ConsistencyProof::parse(&format!("trailseal-consistency@v1\n\n{}", note())).is_err());
}

proptest! {
    #[test]
    fn parsers_survive_any_text(text in "\\PC{0,200}|[\\x00-\\x7f\\n—]{0,300}") {
        let _ = SignedNote::parse(&text);
        let _ = Checkpoint::parse(&text);
        let _ = TlogProof::parse(&text);
        let _ = TlogProof::parse(&format!("c2sp.org/tlog-proof@v1\n{text}"));
        let _ = ConsistencyProof::parse(&format!("trailseal-consistency@v1\n{text}"));
        let _ = VerifyingKey::parse(&text);
        let _ = SigningKey::from_private_string(&text);
    }

    #[test]
    fn one_changed_byte_of_a_note_is_never_believed(at in 0usize..200, with in any::<u8>()) {
        let mut bytes = note().into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != with);
        bytes[at] = with;
        if let Ok(text) = String::from_utf8(bytes) {
            let opened = Checkpoint::open(&text, &origin(), &[key(1).verifying_key()]);
            // Base64 has spare bits at its end; a decoder that ignored them would be the only way through.
            prop_assert!(opened.is_err(), "{text}");
        }
    }
}

#[test]
fn a_note_without_the_form_is_named() {
    for (note, wanted) in
        [("a\n", "no empty line before the signatures"), ("a\u{1}\n\n— k x\n", "it has control characters")]
    {
        assert_eq!(SignedNote::parse(note), Err(NoteError::Form(wanted)));
    }
}
