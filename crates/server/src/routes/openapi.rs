//! The API reference: OpenAPI 3.1, generated from the table of routes.

use serde_json::{Map, Value, json};
use trailseal_core::RETAIN_DAYS_MAX;
use trailseal_event::filter::FILTER_NAMES;
use trailseal_event::{Category, OWN_KEYS, WARNINGS_MAX};
use trailseal_index::FacetField;

use super::route::Route;
use crate::access::VIEWER_SECONDS_MAX;
use crate::access::{Needs, Scope};
use crate::admin::TOKEN_SECONDS_MAX;
use crate::problem::MEMBERS;
use crate::query::LIMIT_MAX;

/// The format of opaque values from an earlier response that are used to continue; clients do not look inside.
const CURSOR: &str = "trailseal-cursor";

/// What no schema can express: with it, a body that the schema allows may be refused.
const STRICT_DESCRIPTION: &str = "Fields in the wrong place or form are kept and reported in `warnings`. With `true`, unknown \
    names and wrong JSON types refuse the request (422); a value never does.";

/// The reference of these routes.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        // In OpenAPI, a path parameter contains no slash.
        let path = route.path.replace("{*path}", "{path}");
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[route.method.as_str().to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Trailseal", "version": env!("CARGO_PKG_VERSION"),
            "description": "An audit log that never slows the request, never loses what it accepted, and detects \
                every rewrite.",
            "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    for part in route.path.split('/').filter(|part| part.starts_with('{')) {
        let name = part.trim_matches(['{', '}', '*']);
        let mut parameter = json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}});
        match route.path {
            "/tile/{*path}" => parameter["example"] = "0/000".into(),
            "/tile/entries/{*path}" => parameter["example"] = "000".into(),
            "/assets/{name}" => parameter["example"] = "base.css".into(),
            _ => {}
        }
        parameters.push(parameter);
    }
    parameters.extend(route.query.iter().map(|name| query_parameter(name)));
    parameters.extend(FILTER_NAMES.iter().filter(|_| route.filters).map(|name| filter_parameter(name)));
    parameters.extend(header_parameters(route));
    let (status, schema) = route.success;
    let mut responses = Map::new();
    responses.insert(status.to_string(), success(schema));
    let mut problems = route.problems.to_vec();
    match route.needs {
        Needs::Nothing => {}
        Needs::Scope(_) | Needs::OneOf(_) | Needs::WholeTrail(_) | Needs::Tiles => {
            problems.extend([401, 403])
        }
    }
    if !route.is_linked && !problems.contains(&400) {
        problems.push(400);
    }
    problems.extend([421, 429, 500]);
    for problem in problems {
        let described = match problem {
            300 => {
                json!({"description": "Several events have this id", "content": {"application/json": {"schema": {"type": "object"}}}})
            }
            202 => json!({"description": "It waits for a second person", "content":
                {"application/json": {"schema": {"$ref": "#/components/schemas/Review"}}}}),
            304 => json!({"description": "Unchanged"}),
            _ => json!({"description": "A problem", "content":
                {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}),
        };
        responses.insert(problem.to_string(), described);
    }
    let mut operation =
        json!({"summary": route.summary, "operationId": operation_id(route), "responses": responses});
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if route.needs != Needs::Nothing {
        operation["security"] = json!([{"token": []}]);
    }
    if let Some(body) = route.body {
        let content_type = if body == "Policy" { "application/toml" } else { "application/json" };
        let reference = json!({"schema": {"$ref": format!("#/components/schemas/{body}")}});
        let mut content = Map::new();
        content.insert(content_type.to_owned(), reference);
        if body == "Events" {
            content.insert("application/x-ndjson".to_owned(), json!({"schema": {"type": "string"}}));
        }
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let words =
        route.path.split(['/', '{', '}', '*', '.', '-']).filter(|word| !word.is_empty() && *word != "v1");
    let words: Vec<&str> = words.collect();
    format!(
        "{}_{}",
        route.method.as_str().to_ascii_lowercase(),
        if words.is_empty() { "viewer".into() } else { words.join("_") }
    )
}

fn query_parameter(name: &str) -> Value {
    let whole = |maximum: usize| json!({"type": "integer", "minimum": 1, "maximum": maximum});
    let schema = match name {
        "limit" => whole(LIMIT_MAX),
        "top" => whole(1_000),
        "count" | "json_columns" => json!({"type": "boolean"}),
        "strict" => {
            let schema = json!({"type": "boolean"});
            return json!({"name": name, "in": "query", "required": false, "description": STRICT_DESCRIPTION, "schema": schema});
        }
        "order" => json!({"type": "string", "enum": ["asc", "desc"]}),
        "order_by" => json!({"type": "string", "enum": ["time", "recorded"]}),
        "ack" => json!({"type": "string", "enum": ["accepted", "durable", "store"]}),
        "state" => json!({"type": "string", "enum": ["pending", "approved", "rejected"]}),
        // Which field's values are asked for must be said.
        "field" => {
            let names: Vec<&str> = FacetField::NAMED.iter().map(|(name, _)| *name).collect();
            let schema = json!({"type": "string", "enum": names});
            return json!({"name": name, "in": "query", "required": true, "schema": schema});
        }
        "cursor" => json!({"type": "string", "format": CURSOR}),
        // The id of a review.
        "before" => json!({"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}),
        "bucket" => json!({"type": "string", "pattern": "^[1-9][0-9]{0,3}[mhdw]$", "examples": ["15m"]}),
        _ => json!({"type": "string"}),
    };
    json!({"name": name, "in": "query", "required": false, "schema": schema})
}

/// A filter of a search. A repeated filter matches any of its values.
fn filter_parameter(name: &str) -> Value {
    let schema = match name {
        "system" => json!({"type": "boolean"}),
        "since" | "until" | "recorded_since" | "recorded_until" => time_schema(),
        _ => json!({"type": "array", "items": filter_value(name)}),
    };
    json!({"name": name, "in": "query", "required": false, "schema": schema})
}

/// A time as people write it; without a zone it is in UTC.
fn time_schema() -> Value {
    json!({"anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": "^[0-9]{4}(-(0[1-9]|1[0-2]))?$", "examples": ["2026-03"]},
        // The 29th to the 31st are not in every month.
        {"type": "string", "examples": ["2026-11-28T00:00"], "pattern":
            "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"},
        {"type": "string", "enum": ["now", "today", "yesterday", "this week", "last week", "this month", "last month",
            "this year", "last year"]},
        {"type": "string", "pattern": "^[0-9]{1,5}([smhdw]|[ -](second|minute|hour|day|week)s?([ -]ago)?)$", "examples": ["24h"]},
    ]})
}

fn filter_value(name: &str) -> Value {
    match name {
        "category" => {
            let named = Category::NAMED.iter().map(|category| category.name().into_owned());
            let named = named.collect::<Vec<_>>().join("|");
            json!({"type": "string", "pattern": format!("^({named}|custom:[A-Za-z0-9._-]+)$")})
        }
        "outcome" => {
            json!({"type": "string", "enum": ["success", "failure", "denied", "partial", "unknown", "none"]})
        }
        "severity" => {
            json!({"type": "string", "enum": ["debug", "info", "notice", "warning", "error", "critical"]})
        }
        _ => json!({"type": "string"}),
    }
}

/// The headers that a route reads, besides those of every request.
pub(super) fn header_parameters(route: &Route) -> Option<Value> {
    let header = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema});
    match (route.path, route.success.1) {
        (_, "Accepted") => Some(header(
            "Idempotency-Key",
            "A retry with the same key and body records nothing new",
            // As `record` parses it: printable ASCII without surrounding spaces.
            json!({"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"}),
        )),
        (_, "Stream") => Some(header(
            "Last-Event-ID",
            "Where to continue: the id of the last event received",
            json!({"type": "string", "format": CURSOR}),
        )),
        _ if route.problems.contains(&304) => {
            Some(header("If-None-Match", "The ETag of a cached response", json!({"type": "string"})))
        }
        _ => None,
    }
}

fn success(schema: &str) -> Value {
    let (content_type, reference) = match schema {
        "Nothing" => return json!({"description": "Done"}),
        "Text" | "Proof" | "Bytes" | "Stream" | "Policy" => ("*/*", json!({"type": "string"})),
        "Event" | "Page" | "Object" | "Origins" | "Reviews" | "Tokens" | "Summary" | "Verified"
        | "Values" | "AdminStats" | "Key" | "Review" | "Token" | "Accepted" | "Holds" | "HoldAdded"
        | "Retained" | "Erased" | "Sinks" => {
            ("application/json", json!({"$ref": format!("#/components/schemas/{schema}")}))
        }
        _ => ("application/json", json!({})),
    };
    let mut content = Map::new();
    content.insert(content_type.to_owned(), json!({"schema": reference}));
    if schema == "Page" {
        for export in
            ["text/csv", "application/x-ndjson", "application/vnd.apache.parquet", "application/zip"]
        {
            content.insert(export.to_owned(), json!({"schema": {"type": "string"}}));
        }
    }
    json!({"description": "Done", "content": content})
}

/// What a hold may select by: the filters of a search that concern an event's content.
fn filters_of_hold() -> Value {
    let names = FILTER_NAMES.iter().filter(|name| **name != "system");
    Value::Object(names.map(|name| ((*name).to_owned(), filter_parameter(name)["schema"].clone())).collect())
}

fn schemas() -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer", "minimum": 0});
    let any = json!({});
    // Three are listed per event and a hundred per response.
    let more = json!({"type": "integer", "minimum": 1, "description": "How many warnings are not listed"});
    let mut fields = Map::new();
    // Any JSON is accepted, since everything is kept; only `action` is required.
    for name in OWN_KEYS[0] {
        fields.insert((*name).to_owned(), any.clone());
    }
    fields.insert("action".into(), json!({"type": "string", "minLength": 1}));
    let event =
        json!({"type": "object", "required": ["action"], "properties": fields, "additionalProperties": true});
    let list_of = |name: &str| json!({"type": "object", "required": [name], "properties": {name: {"type": "array", "items": {"type": "object"}}}});
    json!({
        "SentEvent": event,
        "Events": {"oneOf": [
            {"$ref": "#/components/schemas/SentEvent"},
            {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/SentEvent"}},
        ]},
        "Accepted": {"type": "object", "required": ["accepted", "events"], "properties": {
            "accepted": number, "unconfirmed": {"type": "boolean"}, "more_warnings": more,
            "events": {"type": "array", "items": {"type": "object", "required": ["origin", "index", "id"], "properties": {
                "origin": text, "index": {"type": ["integer", "null"]}, "id": text,
                "repeated": {"type": "boolean"}, "retired": {"type": "boolean"}, "sampled_out": {"type": "boolean"}, "unconfirmed": {"type": "boolean"},
                "warnings": {"type": "array", "minItems": 1, "maxItems": WARNINGS_MAX,
                    "items": {"$ref": "#/components/schemas/Warning"}},
                "more_warnings": more,
            }}},
        }},
        "Warning": {"type": "object", "required": ["field", "problem", "hint"], "additionalProperties": false,
            "description": "A field sent in the wrong place or form, and what to do; never its value",
            "properties": {"field": text, "problem": text, "hint": text}},
        "Event": {"type": "object", "required": ["origin", "v", "index", "recorded", "id", "action"]},
        "Page": {"type": "object", "properties": {
            "events": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
            "next": {"type": ["string", "null"]}, "count": number, "scanned_to": number,
            "lag": {"type": "object", "properties": {"events": number, "not_yet_stored": number}},
        }},
        "Verified": {"type": "object", "required": ["verified", "origin", "index", "tree_size", "problem"]},
        "Summary": {"type": "object", "required": ["total", "histogram", "bucket_seconds"]},
        "Values": list_of("values"),
        "Origins": list_of("origins"),
        "Reviews": list_of("reviews"),
        "Tokens": list_of("tokens"),
        "Review": {"type": "object", "required": ["id", "state"], "properties": {"id": text, "state": text}},
        "Token": {"type": "object", "required": ["token"], "properties": {"token": text, "expires": {"type": ["string", "null"]}}},
        "Key": {"type": "object", "required": ["public_key"], "properties": {"public_key": text}},
        "Object": {"type": "object"},
        "AdminStats": {"type": "object", "additionalProperties": false,
            "required": ["submitted", "succeeded", "failed", "success_rate", "queue_size"], "properties": {
            "submitted": number, "succeeded": number, "failed": number, "success_rate": text, "queue_size": number}},
        "Policy": {"type": "string", "minLength": 1, "format": "trailseal-policy"},
        "ReviewRequest": {"type": "object", "required": ["event"], "additionalProperties": false, "properties": {
            "event": text, "tenant": {"type": ["string", "null"]}, "origin": {"type": ["string", "null"]}, "reason": text, "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1}}},
        "Decision": {"type": "object", "required": ["decision"], "additionalProperties": false, "properties": {
            "decision": {"type": "string", "enum": ["approved", "rejected"]}, "comment": {"type": ["string", "null"]}}},
        "ViewerRequest": {"type": "object", "additionalProperties": false, "properties": {
            "tenant": {"type": ["string", "null"]}, "actor": {"type": ["string", "null"]},
            "resource": {"type": ["string", "null"]}, "ttl_seconds": {"type": ["integer", "null"], "minimum": 1, "maximum": VIEWER_SECONDS_MAX}}},
        "TokenRequest": {"type": "object", "required": ["name", "scopes"], "additionalProperties": false, "properties": {
            "name": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
            "scopes": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": Scope::ALL.map(Scope::name)}},
            "tenant": {"type": ["string", "null"]}, "expires": {"type": ["string", "null"], "format": "date-time"},
            "ttl_seconds": {"type": ["integer", "null"], "minimum": 1, "maximum": TOKEN_SECONDS_MAX}}},
        "Holds": list_of("holds"),
        "HoldRequest": {"type": "object", "required": ["name", "reason"], "additionalProperties": false, "properties": {
            "name": {"type": "string", "pattern": "^[!-~]([ -~]{0,126}[!-~])?$"},
            "reason": {"type": "string", "pattern": "[!-~]", "maxLength": 4_096},
            "filters": {"type": "object", "additionalProperties": false, "properties": filters_of_hold()}}},
        "HoldAdded": {"type": "object", "required": ["name", "index", "announced"], "properties": {
            "name": text, "index": number, "announced": number}},
        "RetentionRequest": {"type": "object", "required": ["older_than_days"], "additionalProperties": false, "properties": {
            "older_than_days": {"type": "integer", "minimum": 1, "maximum": RETAIN_DAYS_MAX},
            "tenant": {"type": ["string", "null"]}, "category": {"type": "array", "items": filter_value("category")},
            "dry_run": {"type": "boolean"},
            "archive": {"type": ["string", "null"], "description": "Only for the owner of the trail's folder"}}},
        "Retained": {"type": "object", "required": ["dry_run", "events", "kept", "retired_by"], "properties": {
            "dry_run": {"type": "boolean"}, "events": number, "bytes": number, "segments": number,
            "segments_removed": number, "freed_bytes": number, "archive": {"type": ["string", "null"]},
            "retired_by": {"type": "array", "items": number}, "kept": {"type": "object"}}},
        "ErasureRequest": {"type": "object", "additionalProperties": false, "properties": {
            "subject": {"type": ["string", "null"], "description": "The person, where the path has `-`: then no log of addresses has the id"},
            "dry_run": {"type": "boolean"}, "reason": {"type": ["string", "null"], "maxLength": 4_096}}},
        "Erased": {"type": "object", "required": ["dry_run", "keys"], "properties": {
            "dry_run": {"type": "boolean"}, "keys": {"type": "array", "items": text},
            "erased_by": {"type": "array", "items": number}, "already": {"type": ["object", "null"]}}},
        "Sinks": list_of("sinks"),
        "Problem": {"type": "object", "required": ["type", "title", "status", "detail"], "properties": problem_members()},
    })
}

/// What a problem says: always the first four, and others where there is something to say.
fn problem_members() -> Value {
    let mut members = json!({
        "type": {"type": "string", "description": "`urn:trailseal:problem:` and a name that never changes"},
        "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do"},
    });
    for (name, description) in MEMBERS {
        let mut member = match name {
            "item" | "index" | "more_warnings" | "not_yet_stored" => json!({"type": "integer", "minimum": 0}),
            "retired_by" => json!({"type": ["integer", "null"], "minimum": 0}),
            "events" => json!({"type": "array", "items": {"type": "object"}}),
            _ => json!({"type": "string"}),
        };
        member["description"] = description.into();
        members[name] = member;
    }
    members
}
