//! How fast a trail is verified, beside the hash alone on the same bytes in the same run:
//! `cargo bench -p trailseal-core --bench verify [-- MEBIBYTES]`.

#![allow(clippy::expect_used, clippy::print_stdout)]

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use trailseal_core::file::StdFiles;
use trailseal_core::segment::compress;
use trailseal_core::verify::{VerifyOptions, verify};
use trailseal_core::{Folder, Manifest};
use trailseal_event::Timestamp;
use trailseal_tlog::{Checkpoint, Origin, SigningKey, TileEdge, leaf_hash};

const LINE_BYTES: usize = 600;
const SEGMENT_LINES: u64 = 400_000;
const ORIGIN: &str = "example.com/bench";

fn main() {
    let mebibytes = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(512_u64);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let lines = (mebibytes << 20) / LINE_BYTES as u64;
    build(dir.path(), lines);
    let folder = Folder::new(dir.path(), Arc::new(StdFiles));
    let bytes = (lines * LINE_BYTES as u64) as f64;
    hash_alone(lines);
    for threads in [1, 2, 1, 2] {
        run(&folder, threads, bytes, "plain");
    }
    for segment in folder.segments().expect("segments").iter().filter(|segment| segment.end.is_some()) {
        compress(folder.files(), segment).expect("compressed");
    }
    for threads in [1, 2] {
        run(&folder, threads, bytes, "compressed");
    }
    println!("most memory: {}", memory());
}

fn run(folder: &Folder, threads: usize, bytes: f64, form: &str) {
    let start = Instant::now();
    let verdict = verify(folder, &VerifyOptions { threads, ..VerifyOptions::default() }).expect("a verdict");
    let seconds = start.elapsed().as_secs_f64();
    assert!(verdict.ok, "{verdict}");
    println!("verify, {form}, {threads} threads: {:.2} GB/s", bytes / seconds / 1e9);
}

fn hash_alone(lines: u64) {
    let text = line(7);
    let count = lines.min(1_000_000);
    let start = Instant::now();
    for _ in 0..count {
        std::hint::black_box(leaf_hash(std::hint::black_box(&text)));
    }
    let rate = (count as usize * text.len()) as f64 / start.elapsed().as_secs_f64() / 1e9;
    println!("the leaf hash alone, 1 thread: {rate:.2} GB/s");
}

fn line(index: u64) -> Vec<u8> {
    let recorded = Timestamp::from_micros(1_700_000_000_000_000 + index as i64);
    let mut text = format!(r#"{{"v":1,"index":{index},"recorded":"{recorded}","id":""#).into_bytes();
    while text.len() < LINE_BYTES - 3 {
        text.extend_from_slice(
            format!("{:x}", index.wrapping_mul(0x9E37_79B9) ^ text.len() as u64).as_bytes(),
        );
    }
    text.truncate(LINE_BYTES - 3);
    text.extend_from_slice(b"\"}");
    text
}

fn build(root: &Path, lines: u64) {
    let origin = Origin::new(ORIGIN).expect("an origin");
    let key = SigningKey::from_seed(ORIGIN, &[1; 32]);
    let manifest = Manifest::new(origin.clone(), Timestamp::from_micros(0), key.verifying_key());
    fs::write(root.join("trail.toml"), manifest.to_toml()).expect("written");
    fs::create_dir_all(root.join("segments")).expect("made");
    let mut edge = TileEdge::new();
    let mut levels: [Vec<u8>; 8] = Default::default();
    for first in (0..lines).step_by(SEGMENT_LINES as usize) {
        let path = root.join("segments").join(format!("{first:020}.jsonl"));
        let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(path).expect("made"));
        for index in first..lines.min(first + SEGMENT_LINES) {
            let mut text = line(index);
            edge.push(leaf_hash(&text), &mut |level, hash| {
                levels[usize::from(level)].extend_from_slice(&hash.0);
            });
            text.push(b'\n');
            out.write_all(&text).expect("written");
        }
        out.flush().expect("written");
    }
    fs::create_dir_all(root.join("tree")).expect("made");
    for (level, hashes) in levels.iter().enumerate() {
        fs::write(root.join(format!("tree/{level}")), hashes).expect("written");
    }
    let note = Checkpoint::new(origin, edge.size(), edge.root()).sign(&key);
    fs::write(root.join("checkpoint"), note).expect("written");
}

fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap_or("unknown").trim().to_owned()
}
