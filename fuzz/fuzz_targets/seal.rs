//! Whatever an event holds, and however its personal values are looked for, the same are sealed: where they were written, near the
//! actor and the context, and in the whole text.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use trailseal_event::complete::{Stamp, complete};
use trailseal_event::line::{write_front, write_masked};
use trailseal_event::mask::{MaskKey, MaskOptions, Masker};
use trailseal_event::personal::{
    Key, KeyName, Personal, PersonalKeys, PersonalRule, SubjectKey, SubjectKeys, reveal,
};
use trailseal_event::{Event, Timestamp};

/// Has one key for everybody.
struct One;

fn key() -> Option<Arc<SubjectKey>> {
    SubjectKey::new(KeyName { file: 1, slot: 2 }, &[7; 32]).map(Arc::new)
}

impl SubjectKeys for One {
    fn key_of(&self, _subject: &str) -> Option<Arc<SubjectKey>> {
        key()
    }

    fn nonce(&self) -> [u8; 12] {
        [9; 12]
    }
}

impl PersonalKeys for One {
    fn key(&self, _name: KeyName) -> Key {
        key().map_or(Key::Missing, Key::Kept)
    }
}

fn rules(more: &[&str]) -> Personal {
    let usual = ["actor.id", "actor.name", "actor.email", "context.ip", "context.user_agent", "context.host"];
    let fields = usual.iter().chain(more).map(|field| (*field).to_owned()).collect();
    let rule = PersonalRule { fields, subject: "actor.id".into(), searchable: true };
    Personal::new(&[rule]).expect("it has fields")
}

static NEAR: LazyLock<Personal> = LazyLock::new(|| rules(&[]));
static WHOLE: LazyLock<Personal> =
    LazyLock::new(|| rules(&["actor.none.none", "context.none.none", "own.none"]));

static MASKER: LazyLock<Masker> = LazyLock::new(|| {
    let options = MaskOptions { key: Some(MaskKey::new([3; 32])), ..MaskOptions::default() };
    Masker::new(&options).expect("the usual masking")
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = Event::from_json(bytes) else { return };
    let masker = &*MASKER;
    let now = Timestamp::from_micros(1_795_000_000_000_000);
    let stamp = complete(&event, now);
    let line = |personal: &Personal| {
        let (mut stamp, mut line) = (stamp.clone(), Vec::new());
        write_front(7, &now.to_text(), &mut line);
        let start = line.len();
        let whole = write_masked(masker, &event, &mut stamp, &mut line).ok()?;
        let written = |stamp: &mut Stamp| match trailseal_event::line::masked(masker, &event) {
            Some((event, paths)) => {
                stamp.masked = paths;
                event
            }
            None => event.clone(),
        };
        let whole = whole.map(|objects| (&event, objects));
        personal.seal((masker, &One), whole, written, &mut stamp, (&mut line, start)).ok()?;
        Some(line)
    };
    let (near, whole) = (line(&NEAR), line(&WHOLE));
    let text = |line: Option<&Vec<u8>>| line.map(|line| String::from_utf8_lossy(line).into_owned());
    assert_eq!(text(near.as_ref()), text(whole.as_ref()));
    if let Some(line) = near {
        assert!(Event::from_line(&line).is_ok() && Event::from_line(&reveal(&line, Some(&One))).is_ok());
    }
});
