//! The public surfaces of the facade and of the two crates whose types it gives out, each held against the one that is
//! checked in: nobody changes one without seeing it.
//!
//! To make them anew: `UPDATE_SNAPSHOTS=1 cargo test -p trailseal --test surface`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use quote::quote;
use syn::{ImplItem, Item, TraitItem, Visibility};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

fn text(tokens: impl quote::ToTokens) -> String {
    let text = tokens.to_token_stream().to_string();
    let mut text = text.replace(" :: ", "::").replace(" < ", "<").replace(" >", ">").replace("& ", "&");
    for (from, to) in [(" ,", ","), (" :", ":"), (" (", "("), ("( ", "("), (" )", ")"), (" ;", ";")] {
        text = text.replace(from, to);
    }
    text
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Whether only tests have it.
fn is_for_tests(path: &Path) -> bool {
    let names = path.iter().map(|name| name.to_string_lossy());
    names.into_iter().any(|name| name == "tests" || name.ends_with("tests.rs"))
}

/// What each item says to users: its kind, its name, its signatures. Attributes and bodies are left out.
fn describe(item: &Item, told: &mut Vec<String>) {
    match item {
        Item::Use(item) if is_public(&item.vis) => names(&item.tree, String::new(), told),
        Item::Mod(item) if is_public(&item.vis) => told.push(format!("mod {}", item.ident)),
        Item::Const(item) if is_public(&item.vis) => {
            told.push(format!("const {}: {}", item.ident, text(&item.ty)));
        }
        Item::Type(item) if is_public(&item.vis) => {
            told.push(format!("type {}{} = {}", item.ident, text(&item.generics), text(&item.ty)));
        }
        Item::Fn(item) if is_public(&item.vis) => told.push(text(&item.sig)),
        Item::Struct(item) if is_public(&item.vis) => {
            told.push(format!("struct {}{}", item.ident, text(&item.generics)));
            for (place, field) in item.fields.iter().enumerate().filter(|(_, field)| is_public(&field.vis)) {
                let name = field.ident.as_ref().map_or_else(|| place.to_string(), ToString::to_string);
                told.push(format!("  {}.{name}: {}", item.ident, text(&field.ty)));
            }
        }
        Item::Enum(item) if is_public(&item.vis) => {
            let variants = item.variants.iter().map(|variant| {
                let fields = variant.fields.iter().map(|field| {
                    let (name, kind) = (&field.ident, &field.ty);
                    text(quote!(#name #kind))
                });
                format!("{}({})", variant.ident, fields.collect::<Vec<_>>().join(", ")).replace("()", "")
            });
            told.push(format!("enum {}: {}", item.ident, variants.collect::<Vec<_>>().join(" | ")));
        }
        Item::Trait(item) if is_public(&item.vis) => {
            let (name, generics, bounds) = (&item.ident, &item.generics, &item.supertraits);
            told.push(format!("trait {name}{}: {}", text(generics), text(bounds)));
            for item in &item.items {
                if let TraitItem::Fn(method) = item {
                    let default = if method.default.is_some() { " { … }" } else { "" };
                    told.push(format!("  {name}::{}{default}", text(&method.sig)));
                }
            }
        }
        Item::Impl(item) => {
            let (of, generics) = (text(&item.self_ty), text(&item.generics));
            if let Some((of_trait, _)) = &item.trait_ {
                told.push(format!("impl{generics} {} for {of}", text(of_trait)));
                return;
            }
            for item in &item.items {
                if let ImplItem::Fn(method) = item
                    && is_public(&method.vis)
                {
                    told.push(format!("  {of}::{}", text(&method.sig)));
                }
            }
        }
        _ => {}
    }
}

/// The names that a `pub use` gives out, each by itself; a glob is none that anybody has considered.
fn names(tree: &syn::UseTree, path: String, told: &mut Vec<String>) {
    match tree {
        syn::UseTree::Path(inner) => names(&inner.tree, format!("{path}{}::", inner.ident), told),
        syn::UseTree::Name(name) => told.push(format!("use {path}{}", name.ident)),
        syn::UseTree::Rename(name) => told.push(format!("use {path}{} as {}", name.ident, name.rename)),
        syn::UseTree::Glob(_) => panic!("{path}* is given out whole"),
        syn::UseTree::Group(group) => {
            group.items.iter().for_each(|tree| names(tree, path.clone(), told));
        }
    }
}

/// What a crate's sources say to its users, file by file.
fn surface(root: &Path) -> String {
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let mut told = Vec::new();
    for path in files {
        let inside = path.strip_prefix(root).unwrap().to_owned();
        if is_for_tests(&inside) {
            continue;
        }
        let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut of_file = Vec::new();
        file.items.iter().for_each(|item| describe(item, &mut of_file));
        told.push((inside, of_file));
    }
    // What a type of our own is for other types of our own is nobody's business.
    let word = |text: &str| {
        text.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_owned()
    };
    let kinds = ["struct ", "enum ", "trait "];
    let public: Vec<String> = told
        .iter()
        .flat_map(|(_, told)| told)
        .filter_map(|line| kinds.iter().find_map(|kind| line.strip_prefix(kind)).map(word))
        .collect();
    let mut surface = String::new();
    for (path, mut told) in told {
        told.retain(|line| match line.strip_prefix("impl").and_then(|line| line.rsplit_once(" for ")) {
            Some((of_trait, of)) => {
                let of_trait = of_trait.trim_start().split([' ', '<']).next().unwrap_or_default();
                public.contains(&word(of.trim_start_matches('&'))) || public.contains(&word(of_trait))
            }
            None => true,
        });
        if !told.is_empty() {
            surface.push_str(&format!("# {}\n{}\n\n", path.display(), told.join("\n")));
        }
    }
    surface
}

fn check(folder: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let surface = surface(&root);
    let kept = root.join("tests/surface.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&kept, &surface).unwrap();
    }
    let before = std::fs::read_to_string(&kept).unwrap_or_default();
    let only_in = |text: &str, other: &str, sign: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !other.lines().any(|other| other == *line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    let changed = [only_in(&surface, &before, "+"), only_in(&before, &surface, "-")].concat().join("\n");
    assert!(
        before == surface,
        "the public surface of crates/{folder} has changed:\n{changed}\nUPDATE_SNAPSHOTS=1 keeps it"
    );
}

#[test]
fn the_surface_of_the_facade_is_the_one_that_is_checked_in() {
    check("trailseal");
}

#[test]
fn the_surface_of_the_core_is_the_one_that_is_checked_in() {
    check("core");
}

#[test]
fn the_surface_of_the_event_is_the_one_that_is_checked_in() {
    check("event");
}

#[test]
fn each_name_is_given_out_once() {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let file = syn::parse_file(&std::fs::read_to_string(lib).unwrap()).unwrap();
    let mut told = Vec::new();
    file.items.iter().for_each(|item| describe(item, &mut told));
    let mut names: Vec<&str> =
        told.iter().filter_map(|line| line.strip_prefix("use ")?.rsplit("::").next()).collect();
    names.sort_unstable();
    let doubled: Vec<&&str> =
        names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    // A type and the derive of its name, as in serde.
    assert_eq!(doubled, [&"AuditEvent"]);
}
