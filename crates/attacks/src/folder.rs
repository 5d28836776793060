//! A trail's folder as an attacker sees it: read according to docs/format.md, written at will.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::note::{Checkpoint, Key, checkpoint_note};
use crate::tree::{leaf_hash, levels, root};

/// A trail's folder.
#[derive(Clone)]
pub struct Folder(pub PathBuf);

/// A file of lines.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The index of its first line.
    pub first: u64,
    /// The file.
    pub path: PathBuf,
}

impl Segment {
    /// Whether it is compressed with zstd.
    pub fn is_compressed(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "zst")
    }

    /// Its text; if it is compressed, as much as can be decompressed.
    pub fn text(&self) -> Vec<u8> {
        let bytes = fs::read(&self.path).unwrap();
        if !self.is_compressed() {
            return bytes;
        }
        let mut text = Vec::new();
        if let Ok(mut decoder) = zstd::Decoder::new(&bytes[..]) {
            let _ = std::io::copy(&mut decoder, &mut text);
        }
        text
    }

    /// Its lines, without line ends; bytes after the last line end do not count.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let text = self.text();
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        text[..whole]
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| line[..line.len() - 1].to_vec())
            .collect()
    }

    /// Replaces its lines, in the same form.
    pub fn set_lines(&self, lines: &[Vec<u8>]) {
        let text: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        let bytes = if self.is_compressed() { zstd::bulk::compress(&text, 3).unwrap() } else { text };
        fs::write(&self.path, bytes).unwrap();
    }
}

impl Folder {
    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// One of its files as text.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8(fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// Writes one of its files.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Removes a file or folder in it, if it exists.
    pub fn remove(&self, name: &str) {
        let path = self.path(name);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { drop(fs::remove_file(path)) }
    }

    /// The segments by their first indexes; if a plain and a compressed one have the same name, the plain one counts.
    pub fn segments(&self) -> Vec<Segment> {
        let mut found = BTreeMap::new();
        let Ok(entries) = fs::read_dir(self.path("segments")) else { return Vec::new() };
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Some((digits, form)) = name.split_once('.') else { continue };
            let (Ok(first), true) = (digits.parse::<u64>(), digits.len() == 20) else { continue };
            if form == "jsonl" || form == "jsonl.zst" && !found.contains_key(&first) {
                found.insert(first, path);
            }
        }
        found.into_iter().map(|(first, path)| Segment { first, path }).collect()
    }

    /// The lines that count, by position: `None` where there is no line.
    pub fn lines_by_place(&self) -> BTreeMap<u64, Vec<u8>> {
        let segments = self.segments();
        let mut lines = BTreeMap::new();
        for (at, segment) in segments.iter().enumerate() {
            let bound = segments.get(at + 1).map_or(u64::MAX, |next| next.first);
            lines.extend((segment.first..bound).zip(segment.lines()));
        }
        lines
    }

    /// The unbroken run of lines from 0 on.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let unbroken = self.lines_by_place().into_iter().enumerate();
        unbroken.take_while(|(at, (index, _))| *at as u64 == *index).map(|(_, (_, line))| line).collect()
    }

    /// Changes one line in its segment. Whatever is derived from the old bytes is left for the program to detect.
    pub fn edit_line(&self, index: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let segment = self.segments().into_iter().rfind(|segment| segment.first <= index).unwrap();
        let mut lines = segment.lines();
        change(&mut lines[(index - segment.first) as usize]);
        segment.set_lines(&lines);
    }

    /// Keeps only the lines below `size`.
    pub fn cut_lines(&self, size: u64) {
        for segment in self.segments() {
            let mut lines = segment.lines();
            lines.truncate(size.saturating_sub(segment.first) as usize);
            if lines.is_empty() {
                fs::remove_file(&segment.path).unwrap();
            } else {
                segment.set_lines(&lines);
            }
            let _ = fs::remove_file(segment.path.with_file_name(format!("{:020}.offsets", segment.first)));
        }
    }

    /// Writes the tree over the first `size` lines, and returns its root.
    pub fn write_tree(&self, size: u64) -> [u8; 32] {
        let leaves: Vec<_> = self.lines().iter().take(size as usize).map(|line| leaf_hash(line)).collect();
        assert_eq!(leaves.len() as u64, size, "there are not that many lines");
        for (level, bytes) in levels(&leaves).into_iter().enumerate() {
            self.write(&format!("tree/{level}"), bytes);
        }
        root(&leaves)
    }

    /// The root over the first `size` lines.
    pub fn root_of_lines(&self, size: u64) -> [u8; 32] {
        let leaves: Vec<_> = self.lines().iter().take(size as usize).map(|line| leaf_hash(line)).collect();
        root(&leaves)
    }

    /// A checkpoint over the first `size` lines.
    pub fn note_of_lines(&self, size: u64, keys: &[&Key], rotations: &[String]) -> String {
        checkpoint_note(keys[0].origin(), size, &self.root_of_lines(size), keys, rotations)
    }

    /// The checkpoint, if it is well-formed.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        Checkpoint::parse(&String::from_utf8(fs::read(self.path("checkpoint")).ok()?).ok()?)
    }

    /// Sizes of the kept checkpoints, ascending.
    pub fn kept(&self) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(self.path("checkpoints")) else { return Vec::new() };
        let mut sizes: Vec<u64> =
            entries.filter_map(|entry| entry.unwrap().file_name().to_string_lossy().parse().ok()).collect();
        sizes.sort_unstable();
        sizes
    }

    /// Signs the lines as they are now: the tree, the newest checkpoint and all kept ones, with one key. Removes the
    /// index, which may be deleted at any time, because it would know the old lines.
    pub fn forge(&self, size: u64, key: &Key, rotations: &[String]) {
        self.remove("index");
        self.write_tree(size);
        self.write("checkpoint", self.note_of_lines(size, &[key], rotations));
        for kept in self.kept().into_iter().filter(|kept| *kept <= size) {
            self.write(&format!("checkpoints/{kept}"), self.note_of_lines(kept, &[key], rotations));
        }
    }

    /// The signing key in the folder.
    pub fn key(&self) -> Key {
        Key::from_file_text(&self.read("keys/signing.key"))
    }

    /// How many lines the index holds: the first eight bytes of `state` in its table `meta`.
    pub fn index_cursor(&self) -> Option<u64> {
        let path = self.path("index/main.db");
        let read_only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let index = rusqlite::Connection::open_with_flags(path, read_only).ok()?;
        let query = "SELECT v FROM meta WHERE k = 'state'";
        let state: Vec<u8> = index.query_row(query, [], |row| row.get(0)).ok()?;
        state.first_chunk().copied().map(u64::from_le_bytes)
    }

    /// Whether there is a line of one of the trail's own actions.
    pub fn position_of(&self, action: &str) -> Option<u64> {
        let mark = format!("\"action\":\"{action}\"");
        let holds = |line: &Vec<u8>| String::from_utf8_lossy(line).contains(&mark);
        self.lines().iter().rposition(holds).map(|at| at as u64)
    }
}

/// Copies a folder and everything in it.
pub fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &target);
        } else if path.is_file() {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Every file below a folder with its bytes, except what a refused opening may leave: the lock, and SQLite's side
/// files.
pub fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() && name != "lock" && !name.contains(".db") {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}
