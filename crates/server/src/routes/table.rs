//! Every route, in one table: its path, what it needs, what it takes and what it returns. The router, the reference in
//! `/openapi.json` and the test of tenant isolation are all generated from it.

use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};

use super::reference::Reference;
use super::route::{Route, Takes};
use super::state::App;
use crate::access::{Needs, Scope};
use crate::pages::Protection;
use crate::{admin, erasure, health, pages, read, record, retention, reviews};

use Needs::{Nothing, Tiles, WholeTrail};
use Scope::{Admin, Read, Review, Write};

/// A route, and who answers it.
pub(crate) struct Row {
    pub(crate) route: Route,
    pub(super) handler: fn() -> MethodRouter<App>,
}

macro_rules! route {
    ($method:ident $path:literal, $needs:expr, $summary:literal, $handler:expr
        $(, query $query:expr)? $(, filters $filters:literal)? $(, body $body:literal)?, gives $status:literal $schema:literal
        $(, or $problems:expr)? $(, takes $takes:expr)? $(, linked $linked:literal)?) => {{
        #[allow(unused_mut, unused_assignments)]
        let mut route = Route {
            method: Method::$method,
            path: $path,
            needs: $needs,
            summary: $summary,
            query: &[],
            filters: false,
            body: None,
            success: ($status, $schema),
            problems: &[],
            takes: Takes::Little,
            is_linked: false,
        };
        $(route.query = $query;)?
        $(route.filters = $filters;)?
        $(route.body = Some($body);)?
        $(route.problems = $problems;)?
        $(route.takes = $takes;)?
        $(route.is_linked = $linked;)?
        Row { route, handler: || $handler }
    }};
}

/// All scopes.
pub(crate) fn table() -> Vec<Row> {
    vec![
        route!(POST "/v1/events", Needs::Scope(Write), "Record one event, an array, or NDJSON", post(record::post),
            query &["ack", "strict"], body "Events", gives 202 "Accepted", or &[400, 408, 409, 413, 415, 422, 503, 504]),
        route!(GET "/v1/events", Needs::Scope(Read), "Find events", get(read::events),
            query &["limit", "cursor", "order", "order_by", "count", "json_columns"], filters true, gives 200 "Page", or &[400, 409, 422, 503], takes Takes::Turns),
        route!(GET "/v1/events/stream", Needs::Scope(Read), "New events as they arrive, as server-sent events", get(read::stream),
            query &["cursor"], filters true, gives 200 "Stream", or &[400, 503], takes Takes::Stream),
        route!(GET "/v1/events/{id}", Needs::Scope(Read), "One event", get(read::one),
            query &["tenant", "origin"], gives 200 "Event", or &[300, 304, 400, 404, 410, 422, 503], takes Takes::Turns),
        route!(GET "/v1/events/{id}/proof", Needs::Scope(Read), "The proof that an event is in the trail", get(read::proof),
            query &["tenant", "origin"], gives 200 "Proof", or &[300, 400, 404, 409, 410, 422, 503], takes Takes::Turns),
        route!(GET "/v1/events/{id}/verify", Needs::Scope(Read), "What the server says about an event's proof", get(read::verify),
            query &["tenant", "origin"], gives 200 "Verified", or &[300, 400, 404, 409, 410, 422, 503], takes Takes::Turns),
        route!(GET "/v1/resources/{type}/{id}/history", Needs::Scope(Read), "The history of one resource", get(read::history),
            query &["limit", "cursor", "order", "order_by", "tenant"], gives 200 "Page", or &[400, 409, 422, 503], takes Takes::Turns),
        route!(GET "/v1/summary", Needs::Scope(Read), "Counts by field, and over time", get(read::summary),
            query &["top", "bucket"], filters true, gives 200 "Summary", or &[400, 422, 503], takes Takes::Turns),
        route!(GET "/v1/values", Needs::Scope(Read), "The values of one field, with counts", get(read::values),
            query &["field", "part", "top"], filters true, gives 200 "Values", or &[400, 422, 503], takes Takes::Turns),
        route!(GET "/v1/origins", WholeTrail(Read), "Every trail, its size and newest checkpoint", get(read::origins),
            gives 200 "Origins", or &[503], takes Takes::Turns),
        route!(GET "/v1/reviews", Needs::Scope(Review), "The review queue", get(reviews::list),
            query &["state", "before"], gives 200 "Reviews", or &[400], takes Takes::Turns),
        route!(POST "/v1/reviews", Needs::OneOf(&[Write, Review, Admin]), "Request a review of an event", post(reviews::request),
            body "ReviewRequest", gives 201 "Review", or &[300, 400, 404, 408, 413, 415, 422, 503], takes Takes::Turns),
        route!(POST "/v1/reviews/{id}", Needs::Scope(Review), "Approve or reject", post(reviews::decide),
            body "Decision", gives 200 "Review", or &[400, 404, 408, 409, 413, 415, 422, 503, 504], takes Takes::Turns),
        route!(POST "/v1/viewer-tokens", Needs::Scope(Read), "A short-lived token to embed the viewer", post(admin::create_viewer_token),
            body "ViewerRequest", gives 201 "Token", or &[400, 408, 413, 415, 422]),
        route!(GET "/v1/policy", WholeTrail(Admin), "The policy in force, as TOML", get(admin::policy), gives 200 "Policy"),
        route!(PUT "/v1/policy", WholeTrail(Admin), "Put a policy in force", put(admin::set_policy),
            body "Policy", gives 200 "Policy", or &[202, 400, 408, 413, 415, 422, 503]),
        route!(GET "/v1/tokens", WholeTrail(Admin), "All tokens, without their secrets", get(admin::tokens), gives 200 "Tokens"),
        route!(POST "/v1/tokens", WholeTrail(Admin), "Make a token", post(admin::create_token),
            body "TokenRequest", gives 201 "Token", or &[400, 408, 409, 413, 415, 422]),
        route!(DELETE "/v1/tokens/{name}", WholeTrail(Admin), "Revoke a token", delete(admin::revoke_token),
            gives 204 "Nothing", or &[404]),
        route!(GET "/v1/holds", WholeTrail(Admin), "Legal holds", get(retention::holds), gives 200 "Holds"),
        route!(POST "/v1/holds", WholeTrail(Admin), "Add a legal hold", post(retention::add_hold),
            body "HoldRequest", gives 201 "HoldAdded", or &[400, 408, 409, 413, 415, 422, 503]),
        route!(DELETE "/v1/holds/{id}", WholeTrail(Admin), "Remove a legal hold, by its name", delete(retention::remove_hold),
            gives 204 "Nothing", or &[404, 503]),
        route!(POST "/v1/retention", WholeTrail(Admin), "Retire old events, or say what would go", post(retention::retain),
            body "RetentionRequest", gives 200 "Retained", or &[202, 400, 408, 409, 413, 415, 422, 503]),
        route!(POST "/v1/subjects/{id}/erase", WholeTrail(Admin), "Erase a person, or say what would be", post(erasure::erase),
            body "ErasureRequest", gives 200 "Erased", or &[202, 400, 404, 408, 409, 413, 415, 422, 503]),
        route!(GET "/v1/sinks", WholeTrail(Admin), "Sinks that hold up retirement until they have an event", get(retention::sinks),
            gives 200 "Sinks"),
        route!(DELETE "/v1/sinks/{name}", WholeTrail(Admin), "Forget a sink that is gone for good", delete(retention::forget_sink),
            gives 204 "Nothing", or &[404, 409, 503]),
        route!(POST "/v1/keys/rotate", WholeTrail(Admin), "Replace the signing key", post(admin::rotate_key), gives 200 "Key"),
        route!(GET "/v1/stats", WholeTrail(Read), "Statistics and health", get(health::stats), gives 200 "Object", takes Takes::Turns),
        route!(GET "/admin/audit/stats", WholeTrail(Read), "Submitted, succeeded, failed", get(health::admin_stats),
            gives 200 "AdminStats"),
        route!(GET "/metrics", WholeTrail(Read), "Metrics for Prometheus", get(health::metrics), gives 200 "Text", takes Takes::Turns),
        route!(GET "/checkpoint", Tiles, "The newest signed checkpoint", get(read::checkpoint), gives 200 "Text"),
        route!(GET "/tile/{*path}", Tiles, "A tile of hashes (C2SP tlog-tiles)", get(read::tile), gives 200 "Bytes", or &[404], takes Takes::Turns),
        route!(GET "/tile/entries/{*path}", WholeTrail(Read), "A bundle of lines", get(read::entries),
            gives 200 "Bytes", or &[404], takes Takes::Turns),
        route!(GET "/origins/{*path}", Tiles, "Checkpoint and tiles of one of the trails", get(read::of_origin),
            gives 200 "Bytes", or &[404, 503], takes Takes::Turns),
        route!(GET "/healthz", Nothing, "The process responds", get(health::healthz), gives 200 "Object"),
        route!(GET "/readyz", Nothing, "Events would be accepted", get(health::readyz), gives 200 "Object", or &[503]),
        route!(GET "/openapi.json", Nothing, "This reference", get(reference), gives 200 "Object", or &[304]),
        route!(GET "/docs", Nothing, "This reference, for people", get(docs), gives 200 "Text", or &[304], linked true),
        route!(GET "/", Nothing, "The viewer", get(pages::page), gives 200 "Text", or &[304], linked true),
        route!(GET "/assets/{name}", Nothing, "A file of the viewer", get(pages::asset), gives 200 "Bytes", or &[304, 404], linked true),
    ]
}

/// Made when somebody asks first.
static REFERENCE: LazyLock<Reference> = LazyLock::new(|| {
    let routes: Vec<Route> = table().into_iter().map(|row| row.route).collect();
    Reference::of(&routes)
});

/// `GET /openapi.json`.
async fn reference(headers: HeaderMap) -> Response {
    REFERENCE.json.answer(&headers)
}

/// `GET /docs`: the API reference, for people.
async fn docs(State(protection): State<Arc<Protection>>, headers: HeaderMap) -> Response {
    let mut response = REFERENCE.page.answer(&headers);
    protection.put_on(&mut response);
    response
}
