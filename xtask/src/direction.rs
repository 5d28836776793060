//! *Direction*: no circle of files within a crate, crates use only what the map in ARCHITECTURE.md allows, and one door
//! leads to the disk.
//!
//! A file uses another if a `use` leads there, or a path that begins with `crate`, `super` or a module of its own, through
//! whatever re-exports. What a parent re-exports of its children is no use of its own, and unit tests may use anything.
//! Methods that a child adds to a parent's type are not seen: the parent calls them without naming the child.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate, and which of ours its code may use.
const CRATES: [(&str, &[&str]); 14] = [
    ("tlog", &[]),
    ("event", &[]),
    ("core", &["tlog", "event"]),
    ("import", &["event"]),
    ("export", &["tlog", "event", "core"]),
    ("index", &["tlog", "event", "core"]),
    ("outbox", &["event", "core"]),
    ("postgres", &["tlog", "event", "core", "outbox"]),
    ("redis", &["tlog", "event", "core"]),
    ("server", &["tlog", "event", "core", "index", "export", "postgres"]),
    ("cli", &["tlog", "event", "core", "import", "export", "index", "outbox", "postgres", "redis", "server"]),
    ("testkit", &["tlog", "event", "core"]),
    ("derive", &[]),
    ("trailseal", &["tlog", "event", "core", "export", "index", "outbox", "postgres", "server", "derive"]),
];

/// The parts of a crate that may name `std::fs`. The handoff is memory that outlives the process, and locks are the
/// system's; everything else goes through the trait `Files`.
const DOORS: [(&str, &[&str]); 2] = [("event", &[]), ("core", &["file", "handoff", "lock", "parents_file"])];

/// A path of modules and names, from the root of the crate.
type Names = Vec<String>;

/// What one file says of others.
#[derive(Default)]
struct File {
    /// Names that it re-exports, and what they are: `None` for those of other crates.
    exports: BTreeMap<String, Option<Names>>,
    /// Everything that it uses of its own crate.
    uses: Vec<Names>,
    uses_disk: bool,
}

struct Crate {
    files: BTreeMap<Names, File>,
}

/// Fails with every circle and every forbidden use.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (name, allowed) in CRATES {
        let folder = root.join("crates").join(name);
        wrong.extend(forbidden_uses(&folder, allowed)?);
        let found = Crate::read(&folder.join("src"))?;
        let doors = DOORS.iter().find(|(of, _)| *of == name);
        wrong.extend(doors.into_iter().flat_map(|(_, doors)| found.beside_the_doors(doors)).map(|file| {
            format!("crates/{name}: {file} goes to the disk by std::fs, and not through the trait Files")
        }));
        wrong.extend(found.circles().iter().map(|circle| format!("crates/{name}: {}", found.told(circle))));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn forbidden_uses(folder: &Path, allowed: &[&str]) -> Result<Vec<String>, String> {
    let manifest = read(&folder.join("Cargo.toml"))?;
    let (_, rest) = manifest.split_once("[dependencies]").unwrap_or_default();
    let dependencies = rest.split("\n[").next().unwrap_or_default();
    let ours = dependencies.lines().filter_map(|line| line.strip_prefix("trailseal-"));
    let names = ours.map(|line| line.split(['.', ' ', '=']).next().unwrap_or_default());
    let forbidden = names.filter(|name| !allowed.contains(name));
    Ok(forbidden.map(|name| format!("{} must not depend on trailseal-{name}", folder.display())).collect())
}

impl Crate {
    fn read(source: &Path) -> Result<Crate, String> {
        let mut paths = Vec::new();
        list(source, &mut paths)?;
        let mut texts = BTreeMap::new();
        for path in paths {
            let names = module_of(path.strip_prefix(source).unwrap_or(&path));
            let is_tests = names.iter().any(|name| name == "tests" || name.ends_with("_tests"));
            if !is_tests {
                texts.insert(names, code_of(&read(&path)?));
            }
        }
        let modules: BTreeSet<Names> = texts.keys().cloned().collect();
        let files = texts.iter().map(|(own, text)| (own.clone(), File::of(own, text, &modules))).collect();
        Ok(Crate { files })
    }

    /// The file to which a path leads.
    fn file_of(&self, path: &[String], seen: &mut Vec<Names>) -> Option<Names> {
        if seen.iter().any(|before| before == path) {
            return None;
        }
        seen.push(path.to_vec());
        let len = (0..=path.len()).rev().find(|&len| self.files.contains_key(&path[..len]))?;
        let (module, rest) = path.split_at(len);
        let file = &self.files[module];
        let Some((name, rest)) = rest.split_first() else { return Some(module.to_vec()) };
        match file.exports.get(name) {
            Some(None) => None,
            Some(Some(target)) => self.file_of(&[target.as_slice(), rest].concat(), seen),
            None => Some(module.to_vec()),
        }
    }

    fn uses(&self) -> BTreeMap<&Names, BTreeSet<Names>> {
        let of = |(own, file): &(&Names, &File)| {
            let used = file.uses.iter().filter_map(|path| self.file_of(path, &mut Vec::new()));
            used.filter(|used| used != *own && !used.is_empty()).collect()
        };
        self.files.iter().map(|entry| (entry.0, of(&entry))).collect()
    }

    /// Files that name `std::fs` and belong to none of these parts.
    fn beside_the_doors(&self, doors: &[&str]) -> Vec<String> {
        let is_inside = |names: &Names| names.first().is_some_and(|first| doors.contains(&first.as_str()));
        let outside = self.files.iter().filter(|(names, file)| file.uses_disk && !is_inside(names));
        outside.map(|(names, _)| names.join("::")).collect()
    }

    /// A circle for people: which of its files use which.
    fn told(&self, circle: &BTreeSet<Names>) -> String {
        let uses = self.uses();
        let of = |file: &Names| {
            let used: Vec<String> = uses[file].intersection(circle).map(|names| names.join("::")).collect();
            format!("\n  {} uses {}", file.join("::"), used.join(", "))
        };
        format!("a circle of {} files{}", circle.len(), circle.iter().map(of).collect::<String>())
    }

    /// Files that use each other, directly or not: each circle once.
    fn circles(&self) -> Vec<BTreeSet<Names>> {
        let uses = self.uses();
        let reach = |from: &Names| {
            let (mut reached, mut next) = (BTreeSet::new(), vec![from.clone()]);
            while let Some(file) = next.pop() {
                for used in uses.get(&file).into_iter().flatten() {
                    if reached.insert(used.clone()) {
                        next.push(used.clone());
                    }
                }
            }
            reached
        };
        let reached: BTreeMap<&Names, BTreeSet<Names>> =
            uses.keys().map(|file| (*file, reach(file))).collect();
        let circle_of = |file: &Names| -> BTreeSet<Names> {
            reached[file].iter().filter(|other| reached[other].contains(file)).cloned().collect()
        };
        let circles: BTreeSet<BTreeSet<Names>> = uses.keys().map(|file| circle_of(file)).collect();
        circles.into_iter().filter(|circle| !circle.is_empty()).collect()
    }
}

impl File {
    fn of(own: &Names, text: &str, modules: &BTreeSet<Names>) -> File {
        let (trees, rest) = use_trees(text);
        let mut file = File { uses_disk: rest.contains("std::fs"), ..File::default() };
        for (is_public, tree) in trees {
            for (path, name) in leaves(&tree) {
                file.uses_disk |= path.starts_with(&["std".to_owned(), "fs".to_owned()]);
                let full = from_root(own, &path, modules);
                if is_public {
                    file.exports.insert(name, full);
                } else {
                    file.uses.extend(full);
                }
            }
        }
        file.uses.extend(paths(&rest).filter_map(|path| from_root(own, &path, modules)));
        file
    }
}

/// Everything in the text that is a path of several names.
fn paths(text: &str) -> impl Iterator<Item = Names> {
    let is_part = |c: char| c.is_alphanumeric() || "_:$".contains(c);
    let tokens = text.split(move |c| !is_part(c)).filter(|token| token.contains("::"));
    // `$crate::` of a macro is a path wherever that stands; `::<T>` and a single colon begin no path.
    let tokens = tokens.map(|token| token.trim_start_matches('$').trim_matches(':'));
    tokens.map(|token| token.split("::").map(str::to_owned).collect())
}

/// `None` if it is not of this crate.
fn from_root(own: &Names, path: &[String], modules: &BTreeSet<Names>) -> Option<Names> {
    let (first, mut rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => own.clone(),
        "super" => own[..own.len().checked_sub(1)?].to_vec(),
        child => {
            let module = [own.as_slice(), &[child.to_owned()]].concat();
            if !modules.contains(&module) {
                return None;
            }
            module
        }
    };
    while let Some((first, after)) = rest.split_first().filter(|(first, _)| *first == "super") {
        debug_assert_eq!(first, "super");
        base.pop();
        rest = after;
    }
    base.extend(rest.iter().filter(|name| *name != "self").cloned());
    Some(base)
}

/// The text after each `use`, up to its semicolon, and whether it is a re-export; then everything else.
fn use_trees(text: &str) -> (Vec<(bool, String)>, String) {
    let (mut found, mut rest) = (Vec::new(), String::new());
    for statement in text.split_inclusive(';') {
        let at = statement.rfind("use ").filter(|_| statement.ends_with(';'));
        let (before, tree) = statement.split_at(at.unwrap_or(statement.len()));
        let line = before.trim_end().rsplit(['\n', '}', '{', ';']).next().unwrap_or_default().trim();
        let is_public = line.starts_with("pub");
        match tree.strip_prefix("use ").and_then(|tree| tree.strip_suffix(';')) {
            Some(tree) if line.is_empty() || is_public => {
                found.push((is_public, tree.replace('\n', " ")));
                rest.push_str(before);
            }
            _ => rest.push_str(statement),
        }
    }
    (found, rest)
}

/// `a::{b, c::d as e}` as `a::b` named b, and `a::c::d` named e.
fn leaves(tree: &str) -> Vec<(Names, String)> {
    let tree = tree.trim();
    if let Some(list) = tree.strip_prefix('{').and_then(|tree| tree.strip_suffix('}')) {
        let (mut depth, mut begin, mut all) = (0, 0, Vec::new());
        for (at, byte) in list.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b',' if depth == 0 => {
                    all.extend(leaves(&list[begin..at]));
                    begin = at + 1;
                }
                _ => {}
            }
        }
        all.extend(leaves(&list[begin..]));
        return all;
    }
    match tree.split_once("::") {
        Some((first, rest)) => leaves(rest)
            .into_iter()
            .map(|(mut path, name)| {
                // `a::{self}` is `a`.
                let name = if name == "self" { first.trim().to_owned() } else { name };
                path.insert(0, first.trim().to_owned());
                (path, name)
            })
            .collect(),
        None if tree.is_empty() => Vec::new(),
        None => {
            let (path, name) = tree.split_once(" as ").unwrap_or((tree, tree));
            vec![(vec![path.trim().to_owned()], name.trim().to_owned())]
        }
    }
}

/// Without comments, and without the unit tests at its end.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    // `pub(in crate::a)` says who may use, and uses nothing.
    lines.map(|line| line.replace("pub(in crate::", "pub(in ")).collect::<Vec<_>>().join("\n")
}

fn module_of(path: &Path) -> Names {
    let mut names: Names =
        path.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
    names
}

fn list(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            list(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate of these files.
    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let modules: BTreeSet<Names> = files.iter().map(|(path, _)| module_of(Path::new(path))).collect();
        let of = |(path, text): &(&str, &str)| {
            let own = module_of(Path::new(path));
            (own.clone(), File::of(&own, &code_of(text), &modules))
        };
        let found = Crate { files: files.iter().map(of).collect() };
        let name = |circle: BTreeSet<Names>| {
            circle.iter().map(|names| names.join("::")).collect::<Vec<_>>().join(" ")
        };
        found.circles().into_iter().map(name).collect()
    }

    #[test]
    fn a_circle_is_found_through_re_exports_and_paths() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; pub use b::Thing;"),
            ("a.rs", "use crate::Thing;"),
            ("b/mod.rs", "mod c;\npub use c::{Other, Thing};"),
            ("b/c.rs", "fn call() { crate::a::call() }"),
            ("d.rs", "use std::fmt::{self, Debug};"),
        ]);
        assert_eq!(found, ["a b::c"]);
    }

    #[test]
    fn a_path_from_the_parent_or_to_a_child_is_a_use() {
        let found = circles(&[
            ("a/mod.rs", "mod b;\nfn open() { b::open() }"),
            ("a/b.rs", "fn open() -> super::Opened { todo!() }"),
            ("c/mod.rs", "mod d;\nfn call() -> Vec<d::Thing> { d::<u8>::call() }"),
            ("c/d.rs", "fn call() { super::super::e::call(); std::c::call() }"),
            ("e.rs", "use crate::c;"),
        ]);
        assert_eq!(found, ["a a::b", "c c::d e"]);
    }

    #[test]
    fn a_visibility_is_no_use() {
        let found =
            circles(&[("a/mod.rs", "mod b;\nuse b::Thing;"), ("a/b.rs", "pub(in crate::a) struct Thing;")]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn std_fs_is_seen_in_uses_and_paths() {
        let modules = BTreeSet::new();
        let uses_disk = |text: &str| File::of(&Vec::new(), &code_of(text), &modules).uses_disk;
        assert!(uses_disk("use std::fs::File;"));
        assert!(uses_disk("use std::{fs, io};"));
        assert!(uses_disk("fn read() { std::fs::read(path) }"));
        assert!(!uses_disk("use std::os::unix::fs::MetadataExt; // std::fs"));
    }

    #[test]
    fn the_project_keeps_to_its_directions() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository");
        assert_eq!(check(root), Ok(()));
    }

    #[test]
    fn one_direction_is_no_circle() {
        let found = circles(&[
            ("lib.rs", "pub use a::A;"),
            ("a.rs", "use crate::b::{self, B as C};\nuse super::d;"),
            ("b.rs", "// use crate::a;\n#[cfg(test)]\nmod tests { use crate::a; }"),
            ("d.rs", "use crate::b::B;"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }
}
