//! What masking promises of every rule: that it takes few steps, that a secret goes whole, what the docs say of it.

mod effort;
mod ids;
mod table;
mod whole;

use proptest::test_runner::{RngAlgorithm, TestRng};

use super::{MaskOptions, Masker};
use crate::complete::complete;
use crate::event::{Event, Value};
use crate::line;
use crate::timestamp::Timestamp;

fn masker() -> Masker {
    Masker::new(&MaskOptions::default()).unwrap()
}

/// Numbers that are the same in each run.
fn numbers() -> TestRng {
    TestRng::deterministic_rng(RngAlgorithm::ChaCha)
}

/// The rest of the line of an event with this description.
fn line_of(text: &str) -> Vec<u8> {
    let mut event = Event::new("a");
    event.id = Some("e1".into());
    event.details.insert("text", Value::from(text));
    let mut rest = Vec::new();
    line::write_rest(&event, &complete(&event, Timestamp::from_micros(0)), &mut rest).unwrap();
    rest
}

/// What is left of a text, after what always holds was checked.
fn left(masker: &Masker, text: &str) -> String {
    let Some(masked) = masker.masked_text(text, true, 0) else { return text.to_owned() };
    assert!(masker.text_has(&line_of(text)), "nobody would have looked: {text}");
    assert_eq!(masker.masked_text(&masked, true, 0), None, "masked again: {text}");
    masked
}
