//! The page itself: what matters first, then plots, then everything that was measured.

use std::fmt::Write as _;

use crate::goals::{self, Standing};
use crate::number::raw;
use crate::plots::{self, Plot};
use crate::results::{Results, Run, Set};
use crate::summary;

const INTRODUCTION: &str = "\
How fast Trailseal is, how near it comes to what the hardware can do, and how it compares with what you might use
instead. `benches/run` measures all of it and writes this page, plots included, from the raw results in
`benches/results/`; nothing here is written by hand.

Every figure is the median of the newest runs at one commit. The machines are shared, and absolute figures move by a
third from day to day. So read each one beside the reference that was measured in the same run, and compare only figures
that were measured together. An event is a line of 715 bytes with who, what, before, after and context. Times of a call
include measuring it.
";

const OTHERS: &str = "\
One thread records as fast as it can for three seconds, each way at its best documented settings. Only Trailseal masks
secrets and signs what it has written meanwhile, and the threads that do so share two cores with the caller.
";

pub fn page(results: &Results, plots: &[Plot]) -> String {
    let sections = [
        "# Benchmarks\n".into(),
        INTRODUCTION.into(),
        "## What matters\n".into(),
        summary::table(results),
        better(results),
        goals(&goals::standings(results)),
        plots_section(plots),
        runs(results),
        tables(results),
    ];
    let sections: Vec<String> = sections.into_iter().filter(|section| !section.is_empty()).collect();
    sections.join("\n")
}

fn better(results: &Results) -> String {
    let better = summary::better(results);
    let what = if better.is_empty() {
        "In what was measured, no other way was better.\n".into()
    } else {
        better.iter().fold(String::from("They are better in:\n\n"), |list, line| format!("{list}- {line}\n"))
    };
    format!("## Where others are better\n\n{OTHERS}\n{what}")
}

fn goals(standings: &[Standing]) -> String {
    let of = |reached: bool| {
        standings.iter().filter(move |goal| goal.measured.is_some() && goal.is_reached == reached)
    };
    let missing: Vec<_> = standings.iter().filter(|goal| goal.measured.is_none()).collect();
    let (missed, reached) = (of(false).count(), of(true).count());
    let mut out = format!(
        "## Goals\n\nWhat the project holds itself to. {reached} goals are reached, {missed} are missed, {} were not measured.\n\n\
         | | goal | measured | |\n| --- | --- | --- | --- |\n",
        missing.len()
    );
    let lines = of(false).map(|goal| (goal, "**missed**")).chain(of(true).map(|goal| (goal, "reached")));
    for (goal, verdict) in lines.chain(missing.into_iter().map(|goal| (goal, ""))) {
        let measured = goal.measured.as_deref().unwrap_or("not measured");
        let _ = writeln!(out, "| {} | {} | {measured} | {verdict} |", goal.what, goal.goal);
    }
    out
}

fn plots_section(plots: &[Plot]) -> String {
    if plots.is_empty() {
        return String::new();
    }
    let mut out = format!("## Plots\n\n{}\n", plots::HOW_TO_READ);
    for Plot { file, title, text, .. } in plots {
        let _ = write!(out, "\n### {title}\n\n![{}](benchmarks/{file})\n\n{text}\n", title.replace('`', ""));
    }
    out
}

fn runs(results: &Results) -> String {
    let mut out =
        String::from("## Runs\n\n| runs | date | commit | machine | |\n| --- | --- | --- | --- | --- |\n");
    for alike in results.runs().chunk_by(Run::is_like) {
        let names: Vec<_> = alike.iter().map(|run| run.name.as_str()).collect();
        let run = &alike[0];
        let said: Vec<_> = run.said.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let (names, said) = (names.join(", "), said.join("; "));
        let _ = writeln!(out, "| {names} | {} | `{}` | {} | {said} |", run.date, run.commit, run.machine);
    }
    out
}

fn tables(results: &Results) -> String {
    let mut out = String::from(
        "## Everything that was measured\n\nThe newest runs of each first. Names end in their units.\n",
    );
    for name in results.names() {
        let _ = writeln!(out, "\n### {name}");
        for set in results.sets(name) {
            table(&mut out, &set);
        }
    }
    out
}

fn table(out: &mut String, set: &Set<'_>) {
    let (runs, run) = (set.runs().join(", "), set.run());
    let _ = writeln!(out, "\n{}, commit `{}`: {runs}\n", run.date, run.commit);
    // Of a single figure, lowest and highest say nothing.
    let is_single = set.len() == 1;
    out.push_str(if is_single {
        "| | |\n| --- | --- |\n"
    } else {
        "| | median | lowest | highest |\n| --- | --- | --- | --- |\n"
    });
    for key in set.keys() {
        let Some(spread) = set.spread(key) else { continue };
        let [median, lowest, highest] =
            [spread.median, spread.lowest, spread.highest].map(|value| raw(key, value));
        let _ = match is_single {
            true => writeln!(out, "| {key} | {median} |"),
            false => writeln!(out, "| {key} | {median} | {lowest} | {highest} |"),
        };
    }
}
