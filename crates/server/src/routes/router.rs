//! The router, made from the table.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;

use super::layers::{known, observe, share};
use super::route::Takes;
use super::state::App;
use super::table::{Row, table};
use crate::access::check;
use crate::problem::{Kind, Problem};

/// The router of the table.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new();
    for Row { route, handler } in table() {
        let mut handler = handler();
        if route.takes != Takes::Little {
            handler = handler.layer(middleware::from_fn_with_state((app.places.clone(), route.takes), share));
        }
        // Before anything is done, and after it is clear who asks.
        if let Some(names) = route.parameters() {
            handler = handler.layer(middleware::from_fn_with_state(Arc::<[_]>::from(names), known));
        }
        let checked = handler.layer(middleware::from_fn_with_state((app.gate.clone(), route.needs), check));
        router = router.route(route.path, checked);
    }
    router
        .fallback(|| async { Problem::not_found("there is no such path: /docs lists them") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Kind::Method, "this path does not support this method: see /docs")
        })
        // Whoever needs the body reads it, with the limit of the settings.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.observer.clone(), observe))
        .with_state(app)
}
