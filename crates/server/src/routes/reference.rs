//! The reference of the interface, for machines and for people.

use trailseal_event::filter::FILTER_NAMES;

use super::openapi::{document, header_parameters};
use super::route::Route;
use crate::access::Needs;
use crate::pages::FixedPage;

/// The reference, ready to be sent.
pub(super) struct Reference {
    pub(super) json: FixedPage,
    pub(super) page: FixedPage,
}

impl Reference {
    /// Of these routes.
    pub(super) fn of(routes: &[Route]) -> Reference {
        Reference {
            json: FixedPage::new("application/json", document(routes).to_string().into()),
            page: FixedPage::new("text/html; charset=utf-8", page(routes).into()),
        }
    }
}

/// A page without any script.
fn page(routes: &[Route]) -> String {
    let mut rows = String::new();
    for route in routes {
        let needs = match route.needs {
            Needs::Nothing => "nothing".to_owned(),
            Needs::Scope(scope) => format!("scope {}", scope.name()),
            Needs::OneOf(scopes) => {
                let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
                format!("scope {}", names.join(" or "))
            }
            Needs::WholeTrail(scope) => format!("scope {}, no tenant", scope.name()),
            Needs::Tiles => "scope read, no tenant; or nothing".to_owned(),
        };
        let (method, path, summary) = (&route.method, route.path.replace("{*path}", "{path}"), route.summary);
        rows.push_str(&format!(
            "<tr><td>{method}</td><td><code>{path}</code></td><td>{summary}</td><td>{}</td>\
             <td>{needs}</td></tr>\n",
            parameters(route)
        ));
    }
    let filters = named(&FILTER_NAMES);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Trailseal: the interface</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"icon\" href=\"assets/icon.svg\" type=\"image/svg+xml\"><link rel=\"stylesheet\" href=\"assets/base.css\"><link rel=\"stylesheet\" href=\"assets/pages.css\"></head>\
         <body><main class=\"docs\"><h1>The HTTP interface</h1><p>For machines: <a href=\"openapi.json\">openapi.json</a>. \
         Send <code>Authorization: Bearer tsl_…</code>.</p><p>The filters are {filters}.</p>\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"All paths\"><table><thead><tr><th>Method</th><th>Path</th>\
         <th>Does</th><th>Parameters</th><th>Needs</th></tr></thead><tbody>\n{rows}</tbody></table></div></main></body></html>\n"
    )
}

/// What an address and its headers may have, besides what every request may.
fn parameters(route: &Route) -> String {
    let header = header_parameters(route);
    let header = header.as_ref().and_then(|header| header["name"].as_str());
    let told = [
        (!route.query.is_empty()).then(|| named(route.query)),
        route.filters.then(|| "the filters".to_owned()),
        header.map(|name| format!("header {}", named(&[name]))),
    ];
    told.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn named(names: &[&str]) -> String {
    names.iter().map(|name| format!("<code>{name}</code>")).collect::<Vec<_>>().join(", ")
}
