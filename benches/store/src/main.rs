//! Measures the shared store: delivery beside a raw COPY of the same columns, pages over many partitions, and the usual way,
//! one INSERT an event. Each measurement starts a PostgreSQL of its own and prints a line of JSON.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml -p trailseal-benches-store -- copy DIR` and so on.

mod copy;
mod insert;
mod lines;
mod pages;
mod server;

use std::path::PathBuf;

const HELP: &str = "usage: trailseal-benches-store MEASUREMENT DIR [NUMBER…]\n\
    copy DIR [ROWS]            one origin beside a raw COPY, with the shipped indexes and with the key alone; 2,000,000 rows\n\
    copy-two DIR [ROWS]        two origins beside two raw COPYs; 2,000,000 rows in all\n\
    fill DIR [ROWS] [MONTHS]   a store for `pages`, which is kept; 5,000,000 rows in 100 months\n\
    pages DIR [VALUES]         pages of that store, directly and through PgBouncer; 40 values of each filter\n\
    insert DIR [SECONDS]       one INSERT an event, for 10 seconds\n\
    TRAILSEAL_BENCH_TRAIL is where trails lie, DIR unless set; TRAILSEAL_BENCH_POSTGRES where PostgreSQL's programs are.\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, dir, numbers @ ..] = arguments.as_slice() else {
        print!("{HELP}");
        std::process::exit(2);
    };
    let dir = PathBuf::from(dir);
    std::fs::create_dir_all(&dir).expect("the folder for the measurements can be made");
    let number = |at: usize, otherwise: i64| {
        numbers.get(at).map_or(otherwise, |number| number.parse().expect("a number"))
    };
    match name.as_str() {
        "copy" => copy::one(&dir, number(0, 2_000_000)),
        "copy-two" => copy::two(&dir, number(0, 2_000_000)),
        "fill" => pages::fill(&dir, number(0, 5_000_000), number(1, 100)),
        "pages" => pages::measure(&dir, number(0, 40)),
        "insert" => insert::all(&dir, number(0, 10)),
        _ => {
            print!("{HELP}");
            std::process::exit(2);
        }
    }
}

/// Prints one measurement as a line of JSON: a name and numbers.
fn print(name: &str, numbers: &[(&str, f64)]) {
    let mut object = serde_json::Map::new();
    object.insert("measurement".into(), name.into());
    for (key, value) in numbers {
        object.insert((*key).into(), ((value * 1000.0).round() / 1000.0).into());
    }
    println!("{}", serde_json::Value::Object(object));
}

/// The value below which this part of them lies.
fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * part).ceil() as usize).clamp(1, values.len());
    values[at - 1]
}
