//! The raw results: what was measured, in which runs.

use std::path::Path;

use serde_json::{Map, Value};

/// One file: a run, whole or of some measurements.
#[derive(Debug, PartialEq)]
pub struct Run {
    pub name: String,
    pub machine: String,
    pub commit: String,
    pub date: String,
    /// What else is known of it.
    pub said: Vec<(String, String)>,
}

impl Run {
    /// Whether everything but the name is the same.
    pub fn is_like(&self, other: &Run) -> bool {
        let what = |run: &Run| (run.machine.clone(), run.commit.clone(), run.date.clone(), run.said.clone());
        what(self) == what(other)
    }
}

/// What one measurement gave in one run.
struct Sample {
    run: usize,
    /// In the order in which they were printed.
    figures: Vec<(String, f64)>,
}

/// Everything that was measured, in the order of its first appearance.
#[derive(Default)]
pub struct Results {
    runs: Vec<Run>,
    measurements: Vec<(String, Vec<Sample>)>,
}

impl Results {
    pub fn read(files: &[String]) -> Result<Results, String> {
        let mut files: Vec<_> = files.iter().map(|file| (number_in(file), file)).collect();
        // A shell lists run-10 before run-2.
        files.sort();
        let mut results = Results::default();
        for (_, file) in files {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
            let name = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
            results.add(&name, &text).map_err(|error| format!("{file}: {error}"))?;
        }
        Ok(results)
    }

    /// Adds a run: a line of JSON about the machine, then one a measurement.
    fn add(&mut self, name: &str, text: &str) -> Result<(), String> {
        let mut lines =
            text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(at, line)| {
                serde_json::from_str::<Map<String, Value>>(line)
                    .map_err(|error| format!("line {}: {error}", at + 1))
            });
        let mut about = lines.next().ok_or("the file is empty")??;
        if about.contains_key("measurement") {
            return Err(
                "the first line must name machine, kernel, commit and date; benches/run writes it".into()
            );
        }
        let mut take =
            |key| about.remove(key).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        let (machine, commit, date) = (take("machine"), take("commit"), take("date"));
        let said =
            about.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        self.runs.push(Run { name: name.to_owned(), machine, commit, date, said });
        let run = self.runs.len() - 1;
        for object in lines {
            let object = object?;
            let name = name_of(&object).ok_or("a line names no measurement")?;
            let figures =
                object.iter().filter_map(|(key, value)| Some((key.clone(), value.as_f64()?))).collect();
            let sample = Sample { run, figures };
            match self.measurements.iter_mut().find(|(known, _)| *known == name) {
                Some((_, samples)) => samples.push(sample),
                None => self.measurements.push((name, vec![sample])),
            }
        }
        Ok(())
    }

    /// One run of a quiet machine, for tests.
    #[cfg(test)]
    pub fn of_lines(lines: &[&str]) -> Results {
        let mut results = Results::default();
        let about = r#"{"machine":"m","commit":"c","date":"2026-01-01"}"#;
        results.add("run-1", &format!("{about}\n{}", lines.join("\n"))).expect("results");
        results
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.measurements.iter().map(|(name, _)| name.as_str())
    }

    /// What was measured at one commit on one machine is one set; the newest comes first.
    pub fn sets(&self, name: &str) -> Vec<Set<'_>> {
        let samples = self.measurements.iter().find(|(known, _)| known == name).map(|(_, samples)| samples);
        let mut sets: Vec<Set<'_>> = Vec::new();
        for sample in samples.into_iter().flatten() {
            let run = &self.runs[sample.run];
            match sets.iter_mut().find(|set| set.is_of(run)) {
                Some(set) => set.samples.push((run, sample)),
                None => sets.push(Set { samples: vec![(run, sample)] }),
            }
        }
        // Runs of one day stand in the order of their numbers.
        sets.reverse();
        sets.sort_by(|one, other| other.run().date.cmp(&one.run().date));
        sets
    }

    pub fn newest(&self, name: &str) -> Option<Set<'_>> {
        self.sets(name).into_iter().next()
    }
}

/// What one measurement gave at one commit on one machine.
pub struct Set<'a> {
    samples: Vec<(&'a Run, &'a Sample)>,
}

impl<'a> Set<'a> {
    /// The first of its runs.
    pub fn run(&self) -> &'a Run {
        self.samples[0].0
    }

    fn is_of(&self, run: &Run) -> bool {
        let own = self.run();
        own.machine == run.machine && own.commit == run.commit && own.date == run.date
    }

    /// How often it was measured.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn runs(&self) -> Vec<&'a str> {
        let mut runs: Vec<_> = self.samples.iter().map(|(run, _)| run.name.as_str()).collect();
        runs.dedup();
        runs
    }

    pub fn keys(&self) -> Vec<&'a str> {
        let mut keys = Vec::new();
        for (key, _) in self.samples.iter().flat_map(|(_, sample)| &sample.figures) {
            if !keys.contains(&key.as_str()) {
                keys.push(key.as_str());
            }
        }
        keys
    }

    /// As they were measured.
    pub fn values(&self, key: &str) -> Vec<f64> {
        let figures = self.samples.iter().flat_map(|(_, sample)| &sample.figures);
        figures.filter(|(known, _)| known == key).map(|(_, value)| *value).collect()
    }

    pub fn spread(&self, key: &str) -> Option<Spread> {
        Spread::of(self.values(key))
    }

    pub fn median(&self, key: &str) -> Option<f64> {
        self.spread(key).map(|spread| spread.median)
    }
}

/// A median between the lowest and the highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub lowest: f64,
    pub highest: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (lowest, highest) = (*values.first()?, *values.last()?);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Spread { median, lowest, highest })
    }

    pub fn map(self, change: impl Fn(f64) -> f64) -> Spread {
        Spread { median: change(self.median), lowest: change(self.lowest), highest: change(self.highest) }
    }
}

/// One measurement may come more than once in a run, told apart by its number of events.
fn name_of(object: &Map<String, Value>) -> Option<String> {
    let name = object.get("measurement")?.as_str()?;
    match object.get("events").and_then(Value::as_f64) {
        Some(events) if name == crate::names::OPEN => {
            Some(format!("{name}, {} million events", (events / 1e6).round()))
        }
        _ => Some(name.to_owned()),
    }
}

/// The number in the name of a run's file.
fn number_in(file: &str) -> Option<u64> {
    let name = Path::new(file).file_stem()?.to_string_lossy();
    name.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(commit: &str, date: &str) -> String {
        format!("{{\"machine\":\"m\",\"commit\":\"{commit}\",\"date\":\"{date}\",\"said\":\"quiet\"}}\n")
    }

    fn results(runs: &[(&str, &str, &[&str])]) -> Results {
        let mut results = Results::default();
        for (at, (commit, date, lines)) in runs.iter().enumerate() {
            let text = about(commit, date) + &lines.join("\n");
            results.add(&format!("run-{at}"), &text).expect("results");
        }
        results
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values.to_vec());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, lowest: 1.0, highest: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 8.0]), Some(Spread { median: 3.0, lowest: 1.0, highest: 8.0 }));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn runs_of_different_commits_are_never_mixed() {
        let one = |value: u32| format!("{{\"measurement\":\"m\",\"p50_ns\":{value}}}");
        let lines: Vec<_> = (1..=4).map(one).collect();
        let results = results(&[
            ("old", "2026-01-02", &[&lines[0]]),
            ("new", "2026-01-02", &[&lines[1]]),
            ("new", "2026-01-02", &[&lines[2]]),
            ("oldest", "2026-01-01", &[&lines[3]]),
        ]);
        let sets = results.sets("m");
        let seen: Vec<_> = sets.iter().map(|set| (set.run().commit.as_str(), set.median("p50_ns"))).collect();
        assert_eq!(seen, [("new", Some(2.5)), ("old", Some(1.0)), ("oldest", Some(4.0))]);
        assert_eq!(results.newest("m").expect("measured").runs(), ["run-1", "run-2"]);
        assert!(results.newest("something else").is_none());
    }

    #[test]
    fn openings_are_told_apart_by_their_events() {
        let line =
            |events: u64| format!("{{\"measurement\":\"open after a clean close\",\"events\":{events}}}");
        let results = results(&[("c", "d", &[&line(2_000_011), &line(10_000_023)])]);
        let names: Vec<_> = results.names().collect();
        assert_eq!(
            names,
            ["open after a clean close, 2 million events", "open after a clean close, 10 million events"]
        );
    }

    #[test]
    fn runs_come_by_their_number_and_a_bad_line_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["run-10.jsonl", "run-9.jsonl"] {
            std::fs::write(path(name), about("c", "d")).expect("written");
        }
        let results = Results::read(&[path("run-10.jsonl"), path("run-9.jsonl")]).expect("results");
        let runs: Vec<_> = results.runs().iter().map(|run| run.name.as_str()).collect();
        assert_eq!(runs, ["run-9", "run-10"]);

        std::fs::write(path("run-9.jsonl"), about("c", "d") + "{\"measurement\": broken").expect("written");
        let error = Results::read(&[path("run-9.jsonl")]).err().expect("refused");
        assert!(error.contains("run-9.jsonl: line 2: "), "{error}");
    }
}
