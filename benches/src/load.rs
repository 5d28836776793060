//! The event that is measured, percentiles, and how a result is printed.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use trailseal_event::{Event, Outcome, Value};

/// A realistic event: a line of about 700 bytes, with before and after, context and details.
pub fn event(number: u64) -> Event {
    let state = |status: &str, amount: i64| {
        Value::parse(format!(r#"{{"status":"{status}","amount":{amount},"currency":"EUR"}}"#).as_bytes())
            .expect("valid JSON")
    };
    let mut event = Event::new("invoice.approve")
        .tenant("tenant-42")
        .actor(format!("user-{}", number % 5000))
        .actor_kind("user")
        .resource("invoice", format!("inv-{number}"))
        .outcome(Outcome::Success)
        .before(state("pending", 129_900))
        .after(state("approved", 129_900))
        .detail("channel", "web")
        .detail("attempt", 1)
        .ip("203.0.113.17")
        .user_agent("billing-web/4.2")
        .request_id("req-7f3a9c2e11d04b55")
        .correlation_id("corr-51c0ffee0042");
    event.context.service = Some("billing".into());
    event
}

/// The same event as a client sends it.
pub fn text(number: u64) -> String {
    serde_json::json!({
        "tenant": "tenant-42", "action": "invoice.approve",
        "actor": {"id": format!("user-{}", number % 5000), "type": "user"},
        "resource": {"type": "invoice", "id": format!("inv-{number}")},
        "before": {"status": "pending", "amount": 129_900, "currency": "EUR"},
        "after": {"status": "approved", "amount": 129_900, "currency": "EUR"},
        "details": {"channel": "web", "attempt": 1},
        "context": {
            "ip": "203.0.113.17", "user_agent": "billing-web/4.2", "request_id": "req-7f3a9c2e11d04b55",
            "correlation_id": "corr-51c0ffee0042", "service": "billing",
        },
    })
    .to_string()
}

/// The same with a description: about 575 bytes.
pub fn long_text(number: u64) -> String {
    let description = "Approved by the second controller, after the invoice had been compared with the order";
    let mut event: serde_json::Value = serde_json::from_str(&text(number)).expect("JSON");
    event["description"] = format!("{description} ({number})").into();
    event.to_string()
}

/// Events made ahead, so that making them is not measured.
pub fn events(count: u64) -> Vec<Event> {
    (0..count).map(event).collect()
}

pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds")
}

/// Calls `call` at `rate` a second for `time` with what `make` has just made, as a caller does that makes an event
/// and records it; measures each call. A call that is late is not made up for.
pub fn paced<T>(
    rate: u64,
    time: Duration,
    mut make: impl FnMut(u64) -> T,
    mut call: impl FnMut(&T),
) -> Histogram<u64> {
    let mut histogram = histogram();
    let gap = Duration::from_nanos(1_000_000_000 / rate);
    let begun = Instant::now();
    let mut next = begun;
    let mut number = 0;
    while begun.elapsed() < time {
        while Instant::now() < next {
            std::hint::spin_loop();
        }
        let made = make(number);
        let at = Instant::now();
        call(&made);
        let _ = histogram.record(at.elapsed().as_nanos() as u64);
        number += 1;
        next = (next + gap).max(Instant::now());
    }
    histogram
}

/// Prints one measurement as a JSON line: a name and numbers.
pub fn print(name: &str, numbers: &[(&str, f64)]) {
    let mut object = serde_json::Map::new();
    object.insert("measurement".into(), name.into());
    for (key, value) in numbers {
        object.insert((*key).into(), ((value * 1000.0).round() / 1000.0).into());
    }
    println!("{}", serde_json::Value::Object(object));
}

pub fn percentiles(histogram: &Histogram<u64>) -> Vec<(&'static str, f64)> {
    vec![
        ("p50_ns", histogram.value_at_quantile(0.5) as f64),
        ("p99_ns", histogram.value_at_quantile(0.99) as f64),
        ("p999_ns", histogram.value_at_quantile(0.999) as f64),
        ("calls", histogram.len() as f64),
    ]
}

/// Anonymous memory of a process in MiB.
pub fn own_memory_mib_of(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib = |line: &str| line.strip_prefix("RssAnon:")?.trim().split(' ').next()?.parse::<f64>().ok();
    status.lines().find_map(kib).unwrap_or(0.0) / 1024.0
}

/// Resident memory of this process in MiB, and its highest so far.
pub fn memory_mib() -> (f64, f64) {
    memory_mib_of("self")
}

/// Begins anew with the highest, so that it is not that of an earlier measurement.
pub fn forget_highest_memory() {
    // Where the kernel refuses, the highest so far stands.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The same of another process.
pub fn memory_mib_of(process: &str) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().split(' ').next()?.parse::<f64>().ok())
            .unwrap_or(0.0)
            / 1024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}
