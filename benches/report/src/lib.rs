//! From raw results to `docs/benchmarks.md` and its plots in `docs/benchmarks/`.
//!
//! Whatever was measured is shown; what was not is left out, or said to be missing. The page is made anew from the raw
//! results alone, so nothing in it is written by hand.

mod chart;
mod goals;
pub mod names;
mod number;
mod page;
mod plots;
mod results;
mod summary;
mod svg;

use std::fs;
use std::path::Path;

use plots::Plot;
use results::Results;

/// Writes page and plots into the folder `docs`, in place of those that are there.
pub fn write(files: &[String], docs: &Path) -> Result<(), String> {
    let results = Results::read(files)?;
    let plots = plots::all(&results);
    let folder = docs.join("benchmarks");
    let failed = |what: &Path, error: std::io::Error| format!("{}: {error}", what.display());
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    remove_others(&folder, &plots).map_err(|error| failed(&folder, error))?;
    for plot in &plots {
        let path = folder.join(plot.file);
        fs::write(&path, &plot.svg).map_err(|error| failed(&path, error))?;
    }
    let page = docs.join("benchmarks.md");
    fs::write(&page, page::page(&results, &plots)).map_err(|error| failed(&page, error))
}

/// A plot of what is no longer measured would stay for ever.
fn remove_others(folder: &Path, plots: &[Plot]) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_plot = path.extension().is_some_and(|extension| extension == "svg");
        if is_plot && !plots.iter().any(|plot| path.ends_with(plot.file)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_one_measurement_has_only_its_plot() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("run-1.jsonl");
        let line = r#""measurement":"sustained, 2 producers, durable and sealed, 64 MiB of handoff""#;
        let about = r#"{"machine":"2 cores","commit":"c0ffee","date":"2026-01-01","said":"quiet"}"#;
        let figures = r#""events_per_second":430404.0,"raw_events_per_second":639103.0,"of_raw":0.673"#;
        fs::write(&file, format!("{about}\n{{{line},{figures}}}\n")).expect("written");
        fs::create_dir_all(folder.path().join("benchmarks")).expect("made");
        fs::write(folder.path().join("benchmarks/old.svg"), "").expect("written");

        write(&[file.display().to_string()], folder.path()).expect("a page");

        let plots: Vec<_> =
            fs::read_dir(folder.path().join("benchmarks")).expect("plots").flatten().collect();
        let plots: Vec<_> = plots.iter().map(fs::DirEntry::file_name).collect();
        assert_eq!(plots, ["sustained.svg"]);
        let page = fs::read_to_string(folder.path().join("benchmarks.md")).expect("a page");
        for text in ["**430,000/s**", "](benchmarks/sustained.svg)", "| of_raw | 0.67 |", "c0ffee"] {
            assert!(page.contains(text), "{text} is not in\n{page}");
        }
    }
}
