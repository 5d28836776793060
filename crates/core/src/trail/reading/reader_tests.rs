//! Readers over folders made by plain code, beside a model: the list of all lines.

use std::fs;

use trailseal_event::Timestamp;

use super::*;
use crate::file::StdFiles;
use crate::segment::{Form, Offsets, compress, offsets_name, segment_name};
use crate::trail::{LineAt, Place};

fn line(index: u64) -> String {
    let recorded = Timestamp::from_micros(index as i64);
    let pad = "p".repeat(index as usize * 7919 % 900);
    format!(r#"{{"v":1,"index":{index},"recorded":"{recorded}","id":"{pad}"}}"#)
}

fn build(segments: &[u64], end: u64) -> (tempfile::TempDir, Reader) {
    let dir = tempfile::tempdir().unwrap();
    let key = trailseal_tlog::SigningKey::from_seed("example.com/t", &[1; 32]).verifying_key();
    let origin = trailseal_tlog::Origin::new("example.com/t").unwrap();
    let manifest = Manifest::new(origin, Timestamp::from_micros(0), key);
    fs::write(dir.path().join("trail.toml"), manifest.to_toml()).unwrap();
    fs::create_dir(dir.path().join("segments")).unwrap();
    for (number, &first) in segments.iter().enumerate() {
        let until = segments.get(number + 1).copied().unwrap_or(end);
        let mut text: String = (first..until).map(|index| line(index) + "\n").collect();
        // Void lines, which the next segment's name puts out of force; or a torn one.
        text += if until == end { "{\"v\":1,\"ind" } else { "{\"v\":1}\n{}\n" };
        fs::write(dir.path().join("segments").join(segment_name(Index::new(first), Form::Plain)), text)
            .unwrap();
    }
    let reader = Reader::open(dir.path(), Arc::new(StdFiles)).unwrap();
    (dir, reader)
}

fn check(reader: &mut Reader, end: u64) {
    assert_eq!(reader.end(), Index::new(end));
    let marks = [0, 1, 2, 255, 256, 257, 511, 700, 999, 1000, 1001, 2999, 3000, 5000];
    for from in marks {
        assert_eq!(
            reader.line(Index::new(from)).unwrap(),
            (from < end).then(|| line(from).into_bytes()),
            "line {from}"
        );
        for to in marks {
            let mut wanted: Vec<u64> = (from..to.min(end)).collect();
            assert_eq!(indexes(|each| reader.for_each(from..to, each)), wanted, "{from}..{to}");
            wanted.reverse();
            assert_eq!(indexes(|each| reader.for_each_newest_first(from..to, each)), wanted, "{from}..{to}");
        }
    }
}

/// The indexes that `read` gives, each with its own line.
fn indexes(read: impl FnOnce(&mut EachLine<'_>) -> Result<(), ReadError>) -> Vec<u64> {
    let mut got = Vec::new();
    read(&mut |index, text| {
        assert_eq!(text, line(index.get()).as_bytes());
        got.push(index.get());
        ControlFlow::Continue(())
    })
    .unwrap();
    got
}

#[test]
fn every_range_is_read_both_ways_in_every_form() {
    let (dir, mut reader) = build(&[0, 1000, 1001, 2500], 3000);
    check(&mut reader, 3000);
    let segments = reader.folder().segments().unwrap();
    for segment in &segments[..2] {
        compress(reader.folder().files(), segment).unwrap();
    }
    reader.refresh().unwrap();
    check(&mut reader, 3000);
    assert!(reader.folder().segments().unwrap()[0].form == Form::Compressed);
    // An offset file that is well-formed and wrong.
    let wrong = Offsets {
        first: Index::new(0),
        lines: 1000,
        len_bytes: 90_000,
        offsets: vec![0, 10, 20, 30],
        ..Offsets::default()
    };
    fs::write(dir.path().join("segments").join(offsets_name(Index::new(0))), wrong.encode()).unwrap();
    let mut reader = Reader::open(dir.path(), Arc::new(StdFiles)).unwrap();
    check(&mut reader, 3000);
}

#[test]
fn empty_trails_have_no_lines() {
    for segments in [&[][..], &[0]] {
        let (_dir, mut reader) = build(segments, 0);
        assert_eq!(reader.end(), Index::new(0));
        assert_eq!(reader.line(Index::new(0)).unwrap(), None);
    }
}

#[test]
fn lines_are_found_by_their_places_and_by_wrong_ones_too() {
    let (dir, mut reader) = build(&[0, 1_000, 1_000, 2_000], 3_000);
    compress(reader.folder().files(), &reader.segments()[0]).unwrap();
    let folder = Folder::new(dir.path(), reader.folder().files().clone());
    let mut follower = crate::deliver::Follower::new(folder, Index::new(0)).unwrap();
    let mut lines = crate::deliver::Lines::default();
    follower.read(Index::new(3_000), usize::MAX, usize::MAX, &mut lines).unwrap();
    let places: Vec<Place> = lines
        .as_batch_lines()
        .iter()
        .map(|line| Place { segment: line.segment, offset: line.offset })
        .collect();
    assert_eq!(places.len(), 3_000);
    let mut line_at = LineAt::default();
    let mut get = |index: u64, place: Place| line_at.get(&mut reader, Index::new(index), place).unwrap();
    let orders: [&mut dyn Iterator<Item = u64>; 2] = [&mut (0..3_000), &mut (0..3_000).rev()];
    for index in orders.into_iter().flatten() {
        assert_eq!(get(index, places[index as usize]).unwrap(), line(index).into_bytes());
    }
    for index in (0..3_000).step_by(37) {
        for wrong in [
            places[(index as usize * 31) % 3_000],
            Place { segment: Index::new(7), offset: 0 },
            Place { segment: Index::new(2_000), offset: u64::MAX / 2 },
        ] {
            assert_eq!(get(index, wrong).unwrap(), line(index).into_bytes());
        }
    }
    assert_eq!(get(3_000, places[0]), None);
}
