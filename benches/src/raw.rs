//! What limits us: the raw disk and the raw hash.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::load;

/// The same bytes written with one fdatasync per 4 MiB, and hashed as leaves; nothing else. Events a second.
pub fn write_and_hash(dir: &Path, line_len: usize, time: Duration) -> f64 {
    let path = dir.join("raw-write");
    let file = File::create(&path).expect("the file can be made");
    let line = vec![b'x'; line_len];
    let lines = (4 << 20) / (line_len + 1);
    let mut batch = Vec::new();
    for _ in 0..lines {
        batch.extend_from_slice(&line);
        batch.push(b'\n');
    }
    let (begun, mut offset, mut events) = (Instant::now(), 0u64, 0u64);
    let mut roots = 0u8;
    while begun.elapsed() < time {
        file.write_all_at(&batch, offset % (1 << 30)).expect("the disk takes it");
        file.sync_data().expect("the disk syncs");
        for line in batch.split(|&byte| byte == b'\n').take(lines) {
            roots ^= trailseal_tlog::leaf_hash(line).as_bytes()[0];
        }
        offset += batch.len() as u64;
        events += lines as u64;
    }
    std::hint::black_box(roots);
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    let _ = std::fs::remove_file(path);
    rate
}

/// `fdatasync` after a 4 KiB append to a preallocated file: median in nanoseconds.
pub fn sync_4k(dir: &Path, calls: u64) -> f64 {
    let path = dir.join("raw-sync");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).expect("made");
    // SAFETY: a plain system call on an open descriptor; it touches no memory of ours.
    let done = unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, (calls * 4096) as i64) };
    assert_eq!(done, 0, "blocks can be reserved");
    let mut histogram = load::histogram();
    for call in 0..calls {
        let at = Instant::now();
        file.write_all_at(&[b'x'; 4096], call * 4096).expect("the disk takes it");
        file.sync_data().expect("the disk syncs");
        let _ = histogram.record(at.elapsed().as_nanos() as u64);
    }
    let _ = std::fs::remove_file(path);
    histogram.value_at_quantile(0.5) as f64
}

/// Leaf hashing alone, bytes a second on one core.
pub fn hash_rate(line_len: usize) -> f64 {
    let line = vec![b'x'; line_len];
    let (begun, mut lines) = (Instant::now(), 0u64);
    let mut roots = 0u8;
    while begun.elapsed() < Duration::from_millis(500) {
        for _ in 0..1000 {
            roots ^= trailseal_tlog::leaf_hash(std::hint::black_box(&line)).as_bytes()[0];
        }
        lines += 1000;
    }
    std::hint::black_box(roots);
    (lines * line_len as u64) as f64 / begun.elapsed().as_secs_f64()
}
