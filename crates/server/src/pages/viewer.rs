//! The viewer: a page and its files, compiled into the program. They contain no data, so they need no token.

use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::fixed::FixedPage;
use super::protection::Protection;
use crate::problem::Problem;

const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/viewer.rs"));

/// The same, ready to be sent.
static PAGES: LazyLock<Vec<(&str, FixedPage)>> = LazyLock::new(|| {
    let one = |(name, bytes): &(&'static str, &'static [u8])| {
        (*name, FixedPage::new(content_type(name), Bytes::from_static(bytes)))
    };
    FILES.iter().map(one).collect()
});

/// `GET /`.
pub(crate) async fn page(
    State(protection): State<Arc<Protection>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    file(&protection, "index.html", &headers)
}

/// `GET /assets/{name}`.
pub(crate) async fn asset(
    State(protection): State<Arc<Protection>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    file(&protection, &name, &headers)
}

fn file(protection: &Protection, name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let Some((_, page)) = PAGES.iter().find(|(known, _)| *known == name) else {
        return Err(Problem::not_found("there is no such file"));
    };
    let mut response = page.answer(headers);
    protection.put_on(&mut response);
    Ok(response)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// The modules that each one imports.
    fn imports() -> BTreeMap<&'static str, Vec<&'static str>> {
        let modules = FILES.iter().filter(|(name, _)| name.ends_with(".js"));
        let of = |(name, bytes): &(&'static str, &'static [u8])| {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            let imported = text.split(" from \"./").skip(1);
            (*name, imported.filter_map(|rest| rest.split('"').next()).collect())
        };
        modules.map(of).collect()
    }

    #[test]
    fn no_module_of_the_viewer_imports_itself_through_others() {
        let imports = imports();
        assert!(imports.values().map(Vec::len).sum::<usize>() > 50, "{imports:?}");
        for name in imports.keys() {
            let (mut reached, mut next) = (BTreeSet::new(), vec![*name]);
            while let Some(module) = next.pop() {
                next.extend(
                    imports.get(module).into_iter().flatten().filter(|other| reached.insert(**other)),
                );
            }
            assert!(!reached.contains(name), "{name} imports {reached:?}, and one of them imports it");
        }
    }
}
