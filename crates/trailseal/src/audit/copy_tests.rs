#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::{Ack, Event, RecordOptions, Trail};

const SOON: Duration = Duration::from_secs(60);
/// For what must get there, however long a busy machine takes.
const DURABLE: RecordOptions = RecordOptions::new().ack(Ack::Durable).timeout(SOON);

struct Case {
    // Before its folder goes.
    trail: Trail,
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Case {
        let folder = tempfile::tempdir().unwrap();
        let trail = Trail::open(folder.path().join("audit.log.trail")).unwrap();
        Case { trail, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    fn copy(&self, policy: RotationPolicy) -> PlainCopy {
        PlainCopy::new(self.path(), policy, self.trail.dir())
    }

    fn record(&self, actions: &[&str]) {
        for action in actions {
            self.trail.with(DURABLE).record(Event::new(*action)).unwrap();
        }
    }

    /// Lines of the trail from the copy's cursor on, as a delivery hands them over.
    fn deliver(&self, copy: &mut PlainCopy) -> Result<(), SinkError> {
        self.trail.flush(SOON).unwrap();
        let from = copy.position()?.cursor.get();
        let mut lines = Vec::new();
        for segment in fs::read_dir(self.trail.dir().join("segments")).unwrap() {
            let path = segment.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                lines.extend(fs::read(path).unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
            }
        }
        lines.retain(|line| parse_front(line).is_some_and(|front| front.index >= from));
        lines.sort_by_key(|line| parse_front(line).unwrap().index);
        let line = |bytes| {
            let index = Index::new(parse_front(bytes).unwrap().index);
            trailseal_core::deliver::BatchLine { index, bytes, segment: Index::new(0), offset: 0 }
        };
        let lines: Vec<_> = lines.iter().map(|bytes| line(bytes.as_slice())).collect();
        match lines.is_empty() {
            true => Ok(()),
            false => copy.deliver(&Batch { first: Index::new(from), lines: &lines }),
        }
    }

    fn actions(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path()).unwrap();
        let action = |line: &str| match Event::from_line(line.as_bytes()) {
            Ok(recorded) => recorded.event.action,
            Err(_) => format!("not ours: {line}"),
        };
        text.lines().map(action).collect()
    }

    fn others(&self) -> Vec<PathBuf> {
        let is_other = |path: &PathBuf| path.is_file() && *path != self.path();
        let mut paths: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(is_other);
        paths.sort();
        paths
    }
}

#[test]
fn what_was_there_before_stays() {
    let case = Case::new();
    fs::write(case.path(), "an old line\nhalf of one").unwrap();
    case.record(&["a", "b"]);
    let mut copy = case.copy(RotationPolicy::Never);
    case.deliver(&mut copy).unwrap();
    assert_eq!(case.actions(), ["not ours: an old line", "not ours: half of one", "a", "b"]);
}

#[test]
fn a_kill_at_any_byte_leaves_every_line_once() {
    let case = Case::new();
    case.record(&["a", "b", "c"]);
    case.deliver(&mut case.copy(RotationPolicy::Never)).unwrap();
    let cursor = case.trail.dir().join("delivered/copy.cursor");
    let whole = fs::read(case.path()).unwrap();
    fs::remove_file(&cursor).unwrap();
    fs::remove_file(case.path()).unwrap();
    // The cursor is as a killed process leaves it: the one of the beginning, and the file has any part of the lines.
    case.copy(RotationPolicy::Never).position().unwrap();
    let begun = fs::read(&cursor).unwrap();
    // Around the ends of lines every place, between them some.
    let is_near = |end: usize| whole[end.saturating_sub(3)..whole.len().min(end + 3)].contains(&b'\n');
    for end in (0..=whole.len()).filter(|end| end % 37 < 2 || is_near(*end)) {
        fs::write(&cursor, &begun).unwrap();
        fs::write(case.path(), &whole[..end]).unwrap();
        case.deliver(&mut case.copy(RotationPolicy::Never)).unwrap();
        assert_eq!(fs::read(case.path()).unwrap(), whole, "killed after {end} bytes");
    }
}

#[test]
fn two_rotations_in_a_second_are_two_files() {
    let case = Case::new();
    case.record(&["a", "b", "c"]);
    let line = 200;
    let mut copy = case.copy(RotationPolicy::SizeBased(line));
    case.deliver(&mut copy).unwrap();
    let others = case.others();
    assert_eq!(others.len(), 2, "{others:?}");
    let texts: String = others.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(texts.contains(r#""action":"a""#) && texts.contains(r#""action":"b""#), "{texts}");
    assert_eq!(case.actions(), ["c"]);

    // And a restart between the two brings nothing a second time.
    drop(copy);
    case.record(&["d"]);
    case.deliver(&mut case.copy(RotationPolicy::Never)).unwrap();
    assert_eq!(case.actions(), ["c", "d"]);
}

#[test]
fn a_new_day_begins_a_new_file() {
    let case = Case::new();
    case.record(&["a"]);
    let mut copy = case.copy(RotationPolicy::Daily);
    case.deliver(&mut copy).unwrap();
    copy.open.as_mut().unwrap().day = "20000101".into();
    case.record(&["b"]);
    case.deliver(&mut copy).unwrap();
    assert_eq!((case.actions(), case.others().len()), (vec!["b".to_owned()], 1));
}

#[test]
fn a_file_that_was_moved_away_is_begun_again() {
    let case = Case::new();
    case.record(&["a"]);
    let mut copy = case.copy(RotationPolicy::Never);
    case.deliver(&mut copy).unwrap();
    fs::rename(case.path(), case.folder.path().join("moved")).unwrap();
    case.record(&["b"]);
    case.deliver(&mut copy).unwrap();
    assert_eq!(case.actions(), ["b"]);
}

#[test]
fn lines_of_another_trail_are_none_of_this_one() {
    let case = Case::new();
    case.record(&["a", "b"]);
    case.deliver(&mut case.copy(RotationPolicy::Never)).unwrap();
    let old = case.path();
    let new = Case::new();
    fs::copy(old, new.path()).unwrap();
    new.record(&["c"]);
    new.deliver(&mut new.copy(RotationPolicy::Never)).unwrap();
    assert_eq!(new.actions(), ["a", "b", "c"]);
}
