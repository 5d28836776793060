//! The reference of the interface, for machines and for people.

use super::openapi::document;
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
        let (method, path, summary) = (&route.method, route.path, route.summary);
        rows.push_str(&format!(
            "<tr><td>{method}</td><td><code>{path}</code></td><td>{summary}</td><td>{needs}</td></tr>\n"
        ));
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Trailseal: the interface</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"stylesheet\" href=\"assets/base.css\"><link rel=\"stylesheet\" href=\"assets/pages.css\"></head>\
         <body><main class=\"docs\"><h1>The HTTP interface</h1><p>For machines: <a href=\"openapi.json\">openapi.json</a>. \
         Send <code>Authorization: Bearer tsl_…</code>.</p><table><thead><tr><th>Method</th><th>Path</th>\
         <th>Does</th><th>Needs</th></tr></thead><tbody>\n{rows}</tbody></table></main></body></html>\n"
    )
}
