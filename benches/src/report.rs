//! From raw results to `docs/benchmarks.md`: medians over the runs.

use std::collections::BTreeMap;

/// Prints the page. Each file is one run, whole or of some measurements: a line of JSON about the machine, then one a
/// measurement.
pub fn print(files: &[String]) {
    let mut runs = Vec::new();
    let mut order: Vec<String> = Vec::new();
    let mut values: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(file).expect("a result file");
        for line in text.lines() {
            let object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(line).expect("JSON");
            let Some(name) = object.get("measurement").and_then(|name| name.as_str()) else {
                runs.push((file, object));
                continue;
            };
            // One measurement may come more than once in a run, told apart by its number of events.
            let name = match object.get("events").and_then(serde_json::Value::as_f64) {
                Some(events) if name.starts_with("open") => {
                    format!("{name}, {} million events", (events / 1e6).round())
                }
                _ => name.to_owned(),
            };
            if !order.contains(&name) {
                order.push(name.clone());
            }
            for (key, value) in &object {
                if let Some(value) = value.as_f64() {
                    let known = keys.entry(name.clone()).or_default();
                    if !known.contains(key) {
                        known.push(key.clone());
                    }
                    values.entry((name.clone(), key.clone())).or_default().push(value);
                }
            }
        }
    }
    println!("# Benchmarks\n");
    println!(
        "Written by `benches/run` from the raw results in `benches/results/`: medians over the runs below that have"
    );
    println!(
        "the measurement (of two, the higher), with the lowest and highest. Times are of one call, its measuring"
    );
    println!(
        "included. The event's line has 715 bytes. The machine is shared: read figures beside the references of the"
    );
    println!("same run.\n");
    for (file, run) in &runs {
        let settings =
            run.iter().map(|(key, value)| format!("{key}: {}", value.as_str().unwrap_or_default()));
        println!("- {file}: {}", settings.collect::<Vec<_>>().join("; "));
    }
    for name in order {
        println!("\n## {name}\n\n| | median | lowest | highest |\n| --- | --- | --- | --- |");
        for key in &keys[&name] {
            let mut all = values[&(name.clone(), key.clone())].clone();
            all.sort_by(f64::total_cmp);
            let shown = |value: f64| show(key, value);
            println!(
                "| {key} | {} | {} | {} |",
                shown(all[all.len() / 2]),
                shown(all[0]),
                shown(all[all.len() - 1])
            );
        }
    }
}

fn show(key: &str, value: f64) -> String {
    if key.starts_with("of_raw") || key.ends_with("share") {
        return format!("{value:.2}");
    }
    if value < 100.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
