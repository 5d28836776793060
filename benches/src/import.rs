//! The command `import`, as it is shipped, beside `serde_json` parsing the same file in the same run.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::load;
use crate::server::program;

/// Real CloudTrail records, to be repeated.
const SAMPLE: &[u8] = include_bytes!("../../crates/import/sample/aws-cloudtrail.jsonl");

/// What has to be reached: this part of `serde_json`, this many MB/s, at most this much memory.
const PART_MIN: f64 = 0.35;
const MB_PER_SECOND_MIN: f64 = 60.0;
const MEMORY_MIB_MAX: f64 = 200.0;

/// Imports a file of so many MiB, and prints MB/s of both and the memory of the command.
pub fn run(dir: &Path, mib: usize) {
    let file = dir.join("import.jsonl");
    let bytes = make(&file, mib << 20);
    let reference = parsed_per_second(&file);
    let (took, memory_mib) = imported(dir, &file);
    let rate = bytes as f64 / took.as_secs_f64();
    load::print(
        "import of CloudTrail records",
        &[
            ("mb_per_second", rate / 1e6),
            ("serde_json_mb_per_second", reference / 1e6),
            ("part", rate / reference),
            ("memory_mib", memory_mib),
        ],
    );
    let is_good =
        rate / reference >= PART_MIN && rate / 1e6 >= MB_PER_SECOND_MIN && memory_mib <= MEMORY_MIB_MAX;
    eprintln!("import: {}", if is_good { "reaches its goals" } else { "misses a goal" });
    let _ = std::fs::remove_file(file);
}

/// The sample again and again, each record with a number of its own, so that none repeats.
fn make(file: &Path, bytes_min: usize) -> usize {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file).expect("the file can be made"));
    let lines: Vec<&[u8]> = SAMPLE.split(|&byte| byte == b'\n').filter(|line| line.len() > 2).collect();
    let (mut bytes, mut number) = (0, 0_u64);
    while bytes < bytes_min {
        for line in &lines {
            let head = format!("{{\"sequenceNumber\":{number},");
            out.write_all(head.as_bytes()).expect("the disk has room");
            out.write_all(&line[1..]).expect("the disk has room");
            out.write_all(b"\n").expect("the disk has room");
            bytes += head.len() + line.len();
            number += 1;
        }
    }
    out.into_inner().expect("flushed").sync_all().expect("the disk syncs");
    bytes
}

/// `serde_json` makes a `Value` of each line, on two threads; bytes a second.
fn parsed_per_second(file: &Path) -> f64 {
    let bytes = std::fs::read(file).expect("the file can be read");
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(batch) = lines.chunks(256).nth(next.fetch_add(1, Ordering::Relaxed)) {
                    for line in batch {
                        let value: serde_json::Value = serde_json::from_slice(line).expect("JSON");
                        std::hint::black_box(value);
                    }
                }
            });
        }
    });
    bytes.len() as f64 / begun.elapsed().as_secs_f64()
}

/// How long the command took, and the most memory it had.
fn imported(dir: &Path, file: &Path) -> (Duration, f64) {
    let trail = dir.join("import-trail");
    let _ = std::fs::remove_dir_all(&trail);
    let begun = Instant::now();
    let mut child = Command::new(program())
        // It takes every such name for a setting.
        .env_remove("TRAILSEAL_BENCH_PROGRAM")
        .args(["import", "--json", "--from", "cloudtrail", "--dir"])
        .arg(&trail)
        .arg(file)
        .stdout(Stdio::null())
        .spawn()
        .expect("the command was built: cargo build --release -p trailseal-cli");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut memory_kib = 0.0_f64;
    loop {
        if let Some(kib) = high_water(&status) {
            memory_kib = memory_kib.max(kib);
        }
        if let Some(ended) = child.try_wait().expect("a child can be waited for") {
            assert!(ended.success(), "the import failed: {ended}");
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = begun.elapsed();
    let _ = std::fs::remove_dir_all(&trail);
    (took, memory_kib / 1024.0)
}

fn high_water(status: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}
