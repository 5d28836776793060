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
    let done =
        unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, (calls * 4096) as i64) };
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

/// What `serde_json` takes to write the event that is measured, from its own value: nanoseconds, the median of
/// batches. Figures of other machines can be set beside ours by it.
pub fn serde_json_ns() -> f64 {
    let value: serde_json::Value = serde_json::from_str(&crate::load::text(1)).expect("JSON");
    let mut out = Vec::with_capacity(4096);
    let mut batches: Vec<f64> = (0..2_000)
        .map(|_| {
            let at = std::time::Instant::now();
            for _ in 0..64 {
                out.clear();
                serde_json::to_writer(&mut out, std::hint::black_box(&value)).expect("writes");
                std::hint::black_box(&out);
            }
            at.elapsed().as_nanos() as f64 / 64.0
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}
