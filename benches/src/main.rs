//! Measures Trailseal beside what limits it (raw disk, raw hash) and beside what people use instead.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml -- all DIR` runs everything in folder DIR and prints
//! one JSON object a measurement; `benches/run` does that five times, keeps the raw results in
//! `benches/results/`, and has `report` write `docs/benchmarks.md` and its plots from them.

mod facade;
mod import;
mod load;
mod own;
mod personal;
mod raw;
mod retire;
mod rivals;
mod server;

use std::path::{Path, PathBuf};

const HELP: &str = "usage: trailseal-benches MEASUREMENT DIR | report RESULTS.jsonl…\n\
    measurements: all paced load flat cold threads trickle sustained sync1 sync64 verify open retire personal rivals layer log-event import server server-paced floods\n\
    retire DIR [EVENTS]: nine of ten events go beside a writer; 10,000,000 unless given\n\
    import DIR [MIB]: the command import beside serde_json; needs cargo build --release -p trailseal-cli\n\
    floods DIR [small] [KIND]: one client against another\n\
    server DIR small: a look at whether it works, in less than a minute\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, rest @ ..] = arguments.as_slice() else {
        print!("{HELP}");
        std::process::exit(2);
    };
    if name == "report" {
        return report(rest);
    }
    if let ("flood", [kind, address, token]) = (name.as_str(), rest) {
        return server::floods::flood(kind, address, token);
    }
    let dir = PathBuf::from(rest.first().map_or("target/bench-data", String::as_str));
    std::fs::create_dir_all(&dir).expect("the folder for the measurements can be made");
    match name.as_str() {
        "all" => {
            own::paced(&dir);
            own::load(&dir);
            own::text(&dir);
            own::indexing(&dir);
            own::flat(&dir);
            own::cold(&dir);
            own::threads(&dir);
            own::trickle(&dir);
            own::sustained(&dir);
            own::sync(&dir, 1);
            own::sync(&dir, 64);
            own::verify(&dir);
            own::open(&dir);
            retire::all(&dir, retire::EVENTS);
            rivals::all(&dir);
            facade::layer(&dir);
            facade::log_event(&dir);
            server::all(&dir, &server::Size::WHOLE);
            server::floods::all(&dir, &server::floods::Size::WHOLE, None);
        }
        "paced" => own::paced(&dir),
        "load" => own::load(&dir),
        "text" => own::text(&dir),
        "indexing" => own::indexing(&dir),
        "flat" => own::flat(&dir),
        "cold" => own::cold(&dir),
        "threads" => own::threads(&dir),
        "trickle" => own::trickle(&dir),
        "sustained" => own::sustained(&dir),
        "sync1" => own::sync(&dir, 1),
        "sync64" => own::sync(&dir, 64),
        "verify" => own::verify(&dir),
        "open" => own::open(&dir),
        "retire" => {
            let events = rest.get(1).map(|events| events.parse().expect("a number of events"));
            retire::all(&dir, events.unwrap_or(retire::EVENTS));
        }
        "personal" => {
            personal::cost(&dir);
            personal::opening(&dir);
        }
        "rivals" => rivals::all(&dir),
        "layer" => facade::layer(&dir),
        "log-event" => facade::log_event(&dir),
        "layer-endpoint" => facade::serve(&dir, &rest[1]),
        "import" => import::run(&dir, rest.get(1).and_then(|mib| mib.parse().ok()).unwrap_or(1024)),
        "server" if rest.get(1).is_some_and(|size| size == "small") => {
            server::all(&dir, &server::Size::SMALL)
        }
        "server" => server::all(&dir, &server::Size::WHOLE),
        "floods" => {
            let is_small = rest.get(1).is_some_and(|size| size == "small");
            let size = if is_small { server::floods::Size::SMALL } else { server::floods::Size::WHOLE };
            server::floods::all(&dir, &size, rest.get(if is_small { 2 } else { 1 }).map(String::as_str));
        }
        "server-paced" => server::all_paced(&dir, &server::Size::WHOLE),
        "server-reference" => server::serve_reference(&dir, &rest[1]),
        "rival-child" => rivals::child(&dir, &rest[1]),
        _ => {
            print!("{HELP}");
            std::process::exit(2);
        }
    }
}

/// Writes `docs/benchmarks.md` and its plots from result files.
fn report(files: &[String]) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    if let Err(what) = trailseal_benches_report::write(files, &docs) {
        eprintln!("trailseal-benches: {what}");
        std::process::exit(1);
    }
}
