//! Whatever an event holds: what is masked was noticed before, is masked once and for all, and stays an event.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_event::complete::complete;
use trailseal_event::line::write_rest;
use trailseal_event::mask::{MaskKey, MaskOptions, Masker, ReplaceWith};
use trailseal_event::{Event, Timestamp, Value};

fn rest(event: &Event) -> Vec<u8> {
    let mut event = event.clone();
    event.id.get_or_insert_with(|| "e".to_owned());
    let mut rest = b"{".to_vec();
    write_rest(&event, &complete(&event, Timestamp::from_micros(0)), &mut rest)
        .expect("an event has an action");
    rest
}

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let Ok(mut event) = Event::from_json(bytes) else { return };
    let kinds = [ReplaceWith::Fixed, ReplaceWith::Remove, ReplaceWith::Last4, ReplaceWith::Hmac];
    let replace_with = kinds[usize::from(how % 4)];
    let options = MaskOptions { replace_with, key: Some(MaskKey::new([1; 32])), ..MaskOptions::default() };
    let masker = Masker::new(&options).expect("good options");
    let before = rest(&event);
    // Events that are cut to fit a line are masked before, so what is cut off cannot be asked for here.
    let is_whole = before.len() < 30_000 && !memmem(&before, b"\"truncated\":[");
    let noticed = masker.text_has(&before) || masker.has_key(&event);
    let paths = masker.mask(&mut event);
    assert!(noticed || paths.is_empty() || !is_whole, "nobody would have looked");
    assert!(masker.mask(&mut event).is_empty(), "masked twice");
    Value::parse(&rest(&event)).expect("a line is JSON");
});

fn memmem(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
