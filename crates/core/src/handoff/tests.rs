use std::time::Duration;

use proptest::prelude::*;
use trailseal_event::{Timestamp, line};

use super::buffer::Given;
use super::*;

const CAPACITY: u64 = 1 << 16;

fn owner() -> Owner {
    Owner::of(std::path::Path::new("/trail"), "trail")
}

fn rest_of(number: usize, len: usize) -> Vec<u8> {
    let mut rest =
        format!("\"id\":\"{number}\",\"action\":\"a\",\"pad\":\"{}\"}}", "x".repeat(len)).into_bytes();
    rest.push(b'\n');
    rest
}

fn push(handoff: &Handoff, rests: &[Vec<u8>], now: i64) -> Result<Given, Refused> {
    let bytes = rests.concat();
    let ends: Vec<usize> = rests
        .iter()
        .scan(0, |end, rest| {
            *end += rest.len();
            Some(*end)
        })
        .collect();
    let rests = Rests { bytes: &bytes, ends: &ends, crc: checksum(&bytes), now: Timestamp::from_micros(now) };
    handoff.push(&rests, Duration::ZERO, || {})
}

struct File {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    handoff: Handoff,
    drain: Drain,
}

impl File {
    fn new(next: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handoff");
        let place = Place::File(path.clone());
        let (handoff, drain) = open(&place, CAPACITY, &owner(), next, Timestamp::from_micros(0)).unwrap();
        File { _folder: folder, path, handoff, drain }
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }
}

fn replayed(file: &[u8], next: u64) -> Vec<(u64, Vec<u8>)> {
    let mut lines = Vec::new();
    let end = replay(file, next, |index, text| lines.push((index, text.to_vec())));
    assert_eq!(end, next + lines.len() as u64);
    lines
}

#[test]
fn what_was_pushed_is_replayed_from_the_file_while_it_is_mapped() {
    let file = File::new(7);
    for number in 0..5 {
        assert_eq!(push(&file.handoff, &[rest_of(number, 40)], 1).unwrap().first, 7 + number as u64);
    }
    push(&file.handoff, &[rest_of(5, 1), rest_of(6, 2), rest_of(7, 3)], 1).unwrap();
    let lines = replayed(&file.bytes(), 7);
    assert_eq!(lines.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (7..15).collect::<Vec<_>>());
    for (index, text) in &lines {
        let front = line::parse_front(text).unwrap();
        assert_eq!(front.index, *index);
        assert!(text.ends_with(&rest_of(*index as usize - 7, 0)[..6]) || text.ends_with(b"\"}\n"));
    }
}

#[test]
fn nothing_pushed_leaves_no_frame_that_would_end_the_replay() {
    let file = File::new(7);
    assert_eq!(push(&file.handoff, &[], 1).map(|given| given.first), Ok(7));
    push(&file.handoff, &[rest_of(0, 40)], 1).unwrap();
    assert_eq!(replayed(&file.bytes(), 7).len(), 1);
}

#[test]
fn replay_skips_what_is_in_the_segments_and_never_jumps() {
    let file = File::new(0);
    for number in 0..10 {
        push(&file.handoff, &[rest_of(number, 10)], 1).unwrap();
    }
    let bytes = file.bytes();
    assert_eq!(replayed(&bytes, 4).len(), 6, "those that are in the segments already are skipped");
    assert_eq!(replayed(&bytes, 10).len(), 0);
    assert_eq!(replayed(&bytes, 11).len(), 0, "nothing follows a segment that is further");
    let late = File::new(3);
    push(&late.handoff, &[rest_of(0, 1)], 1).unwrap();
    assert_eq!(replayed(&late.bytes(), 2).len(), 0, "a gap is never bridged");
}

#[test]
fn a_damaged_frame_ends_the_replay_and_every_byte_of_a_frame_counts() {
    let file = File::new(0);
    let mut frame_begins = Vec::new();
    for number in 0..3 {
        frame_begins.push(4096 + file.handoff.fill().0 as usize);
        push(&file.handoff, &[rest_of(number, 30)], 1).unwrap();
    }
    let bytes = file.bytes();
    let payload_end = frame_begins[1] + 32 + line::front_len(1) + rest_of(1, 30).len();
    for at in frame_begins[1]..payload_end {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert_eq!(replayed(&damaged, 0).len(), 1, "byte {at}");
    }
}

#[test]
fn frames_of_another_generation_are_not_taken() {
    let file = File::new(0);
    push(&file.handoff, &[rest_of(0, 30)], 1).unwrap();
    let mut bytes = file.bytes();
    bytes[8] ^= 1;
    assert_eq!(replayed(&bytes, 0).len(), 0);
}

#[test]
fn a_full_buffer_refuses_gives_no_index_and_takes_again_after_release() {
    let mut file = File::new(0);
    let mut accepted = 0;
    let refused = loop {
        match push(&file.handoff, &[rest_of(0, 1000)], 1) {
            Ok(given) => {
                assert_eq!(given.first, accepted);
                accepted += 1;
            }
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, Refused::Full);
    assert_eq!(file.handoff.next(), accepted);
    let mut out = Vec::new();
    let taken = file.drain.take(&mut out, usize::MAX, |_, _, _| {});
    assert_eq!(taken.lines, accepted);
    assert_eq!(push(&file.handoff, &[rest_of(0, 1000)], 1), Err(Refused::Full), "taken is not yet durable");
    file.drain.release(taken.position, accepted);
    assert_eq!(push(&file.handoff, &[rest_of(0, 1000)], 1).unwrap().first, accepted);
    let header = HandoffHeader::decode(&file.bytes()).unwrap();
    assert_eq!((header.durable, header.tail), (accepted, taken.position));
}

#[test]
fn a_batch_over_a_quarter_of_the_buffer_is_too_large() {
    let file = File::new(0);
    let rests: Vec<_> = (0..20).map(|number| rest_of(number, 1000)).collect();
    assert_eq!(push(&file.handoff, &rests, 1), Err(Refused::TooLarge));
    assert_eq!(file.handoff.next(), 0);
}

#[test]
fn recorded_never_goes_back() {
    let file = File::new(0);
    for now in [5_000_000, 3_000_000, 6_000_000] {
        push(&file.handoff, &[rest_of(0, 1)], now).unwrap();
    }
    let recorded: Vec<i64> = replayed(&file.bytes(), 0)
        .iter()
        .map(|(_, text)| line::parse_front(text).unwrap().recorded.as_micros())
        .collect();
    assert_eq!(recorded, [5_000_000, 5_000_000, 6_000_000]);
}

#[test]
fn a_closed_buffer_refuses() {
    let file = File::new(0);
    assert_eq!(file.handoff.close(), 0);
    assert_eq!(push(&file.handoff, &[rest_of(0, 1)], 1), Err(Refused::Closed));
}

/// The rests of the lines from index `next` on that the file gives, whose indexes are looked at.
fn rests_of(file: &[u8], next: usize) -> Vec<Vec<u8>> {
    let lines = replayed(file, next as u64);
    let in_order = lines.iter().zip(next as u64..).all(|((index, text), expected)| {
        *index == expected && line::parse_front(text).unwrap().index == expected
    });
    assert!(in_order);
    lines.into_iter().map(|(index, text)| text[line::front_len(index)..].to_vec()).collect()
}

fn tail_of(file: &[u8]) -> u64 {
    HandoffHeader::decode(file).unwrap().tail
}

#[test]
fn an_empty_ring_goes_back_to_its_start_and_what_follows_is_replayed_from_there() {
    let mut file = File::new(0);
    let mut tails = Vec::new();
    for number in 0..60 {
        push(&file.handoff, &[rest_of(number, 3000)], 1).unwrap();
        assert_eq!(rests_of(&file.bytes(), number), [rest_of(number, 3000)]);
        let taken = file.drain.take(&mut Vec::new(), usize::MAX, |_, _, _| {});
        file.handoff.released(&mut file.drain);
        assert_eq!(rests_of(&file.bytes(), number).len(), 1, "it is not released yet");
        file.drain.release(taken.position, number as u64 + 1);
        file.handoff.released(&mut file.drain);
        tails.push(tail_of(&file.bytes()));
    }
    assert!(tails.is_sorted());
    let rewound = tails.iter().filter(|tail| tail.is_multiple_of(CAPACITY)).count();
    assert_eq!(rewound, 10, "from a quarter of the ring on: {tails:?}");
    assert_eq!(file.handoff.fill().0, 0);
}

#[test]
fn lines_come_out_in_order_of_many_threads_while_the_ring_goes_back() {
    let lines = if cfg!(miri) { 200 } else { 20_000 };
    let (handoff, mut drain) =
        open(&Place::Memory, CAPACITY, &owner(), 0, Timestamp::from_micros(0)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut accepted = 0;
                while accepted < lines {
                    match push(&handoff, &[rest_of(accepted, 500)], 1) {
                        Ok(_) => accepted += 1,
                        Err(_) => std::thread::yield_now(),
                    }
                }
            });
        }
        let mut next = 0;
        while next < 2 * lines as u64 {
            let mut out = Vec::new();
            let taken = drain.take(&mut out, usize::MAX, |_, _, _| {});
            for text in out.split_inclusive(|&byte| byte == b'\n') {
                assert_eq!(line::parse_front(text).unwrap().index, next);
                next += 1;
            }
            drain.release(taken.position, next);
            handoff.released(&mut drain);
        }
    });
}

/// A new ring at the file's place, as the writer makes one.
fn another_ring(file: &File, durable: u64) -> Ring {
    Ring::new(&Place::File(file.path.clone()), CAPACITY, &owner(), durable).unwrap()
}

#[test]
fn what_the_old_ring_holds_comes_out_before_what_the_new_one_takes() {
    let mut file = File::new(0);
    push(&file.handoff, &[rest_of(0, 10), rest_of(1, 10)], 1).unwrap();
    let ring = another_ring(&file, 0);
    file.handoff.go_on_in(&mut file.drain, ring);
    push(&file.handoff, &[rest_of(2, 10)], 1).unwrap();
    assert!(file.drain.is_moving() && !file.drain.is_empty());
    let header = HandoffHeader::decode(&file.bytes()).unwrap();
    assert_eq!((header.durable, header.tail), (0, 0));
    assert_eq!(replayed(&file.bytes(), 0).len(), 0, "a gap is never bridged");
    assert_eq!(replayed(&file.bytes(), 2).len(), 1);

    let old = file.drain.take(&mut Vec::new(), usize::MAX, |_, _, _| {});
    assert_eq!((old.first, old.lines), (0, 2));
    assert_eq!(
        file.drain.take(&mut Vec::new(), usize::MAX, |_, _, _| {}).lines,
        0,
        "they are not durable yet"
    );
    assert!(file.drain.is_moving());
    file.drain.release(old.position, 2);
    file.handoff.released(&mut file.drain);
    assert!(!file.drain.is_empty(), "one is in the new ring");

    let new = file.drain.take(&mut Vec::new(), usize::MAX, |_, _, _| {});
    assert_eq!((new.first, new.lines), (2, 1));
    assert!(!file.drain.is_moving());
    assert_eq!(HandoffHeader::decode(&file.bytes()).unwrap().durable, 2, "readers see no less than before");
    file.drain.release(new.position, 3);
    file.handoff.released(&mut file.drain);
    assert!(file.drain.is_empty());
    assert_eq!(HandoffHeader::decode(&file.bytes()).unwrap().durable, 3);
}

#[test]
fn who_waits_for_room_goes_on_in_the_new_ring() {
    let mut file = File::new(0);
    while push(&file.handoff, &[rest_of(0, 1000)], 1).is_ok() {}
    let ring = another_ring(&file, 0);
    std::thread::scope(|scope| {
        let (waits, is_waiting) = std::sync::mpsc::channel();
        let handoff = &file.handoff;
        let waiter = scope.spawn(move || {
            let bytes = rest_of(0, 1000);
            let now = Timestamp::from_micros(1);
            let rests = Rests { bytes: &bytes, ends: &[bytes.len()], crc: checksum(&bytes), now };
            handoff.push(&rests, Duration::from_secs(60), || waits.send(()).unwrap())
        });
        is_waiting.recv().unwrap();
        file.handoff.go_on_in(&mut file.drain, ring);
        waiter.join().unwrap().unwrap();
    });
}

#[test]
fn lines_come_out_in_order_of_many_threads_while_rings_are_replaced() {
    let lines = if cfg!(miri) { 200 } else { 20_000 };
    let (handoff, mut drain) =
        open(&Place::Memory, CAPACITY, &owner(), 0, Timestamp::from_micros(0)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut accepted = 0;
                while accepted < lines {
                    match push(&handoff, &[rest_of(accepted, 500)], 1) {
                        Ok(_) => accepted += 1,
                        Err(_) => std::thread::yield_now(),
                    }
                }
            });
        }
        let (mut next, mut moves) = (0, 0);
        while next < 2 * lines as u64 {
            if !drain.is_moving() {
                handoff.go_on_in(&mut drain, Ring::new(&Place::Memory, CAPACITY, &owner(), next).unwrap());
                moves += 1;
            }
            let mut out = Vec::new();
            let taken = drain.take(&mut out, 10_000, |_, _, _| {});
            for text in out.split_inclusive(|&byte| byte == b'\n') {
                assert_eq!(line::parse_front(text).unwrap().index, next);
                next += 1;
            }
            drain.release(taken.position, next);
            handoff.released(&mut drain);
        }
        assert!(moves > 2);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any schedule of pushes, takes, releases and returns to the start: lines come out once, in order; and at every
    /// moment, in the middle of a push too, the file alone gives exactly the lines that were pushed and not released.
    #[test]
    fn the_file_always_holds_what_was_accepted_and_is_not_durable(
        steps in proptest::collection::vec((0u8..6, 0usize..3000, 1usize..4, any::<u16>()), 1..120),
    ) {
        let mut file = File::new(0);
        let (mut taken_to, mut released) = (0u64, 0usize);
        let (mut accepted, mut pending) = (Vec::new(), Vec::new());
        for (kind, len, count, cut) in steps {
            let (before, accepted_before) = (file.bytes(), accepted.len());
            let is_commit = kind == 5;
            if kind < 2 {
                let rests: Vec<_> = (0..count).map(|at| rest_of(accepted.len() + at, len / count)).collect();
                if let Ok(given) = push(&file.handoff, &rests, 1) {
                    prop_assert_eq!(given.first, accepted.len() as u64);
                    accepted.extend(rests);
                }
            }
            if kind == 2 || is_commit {
                let mut out = Vec::new();
                let taken = file.drain.take(&mut out, if is_commit { usize::MAX } else { len }, |_, _, _| {});
                for text in out.split_inclusive(|&byte| byte == b'\n') {
                    prop_assert_eq!(line::parse_front(text).unwrap().index, taken_to);
                    taken_to += 1;
                }
                pending.push((taken.position, taken_to));
            }
            if (kind == 3 || is_commit)
                && let Some((position, durable)) = pending.pop()
            {
                pending.clear();
                file.drain.release(position, durable);
                released = durable as usize;
            }
            if kind == 4 || is_commit {
                let tail = tail_of(&file.bytes());
                file.handoff.released(&mut file.drain);
                if tail_of(&file.bytes()) != tail {
                    prop_assert_eq!(released, accepted.len());
                    pending.clear();
                }
            }
            let after = file.bytes();
            prop_assert_eq!(rests_of(&after, released), &accepted[released..]);
            if accepted.len() > accepted_before {
                // Some of the push's stores were done and some not; which ones is up to the processor.
                let cut = 4096 + usize::from(cut) % (after.len() - 4096);
                for (first, last) in [(&before, &after), (&after, &before)] {
                    let torn = [&first[..cut], &last[cut..]].concat();
                    let lines = rests_of(&torn, released);
                    let is_whole = lines.len() + released == accepted.len();
                    let end = if is_whole { accepted.len() } else { accepted_before };
                    prop_assert_eq!(lines, &accepted[released..end]);
                }
            }
        }
    }

    /// Whatever the bytes are, replay ends and does not panic.
    #[test]
    fn replay_survives_any_bytes(noise in proptest::collection::vec(any::<u8>(), 0..600), tail in any::<u64>()) {
        let file = File::new(0);
        push(&file.handoff, &[rest_of(0, 30)], 1).unwrap();
        let mut bytes = file.bytes();
        bytes[64..72].copy_from_slice(&tail.to_le_bytes());
        let at = 4096;
        bytes[at..at + noise.len()].copy_from_slice(&noise);
        replay(&bytes, 0, |_, _| {});
        replay(&noise, 0, |_, _| {});
    }
}
