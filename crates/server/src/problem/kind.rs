//! The kinds of problems: all that this server answers. They are in docs/server.md, which a test compares.

use axum::http::StatusCode;

macro_rules! kinds {
    ($($kind:ident: $status:ident $name:literal,)*) => {
        /// What kind of problem something is: the last part of `type` and its status, which are never changed once published.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($kind,)*
        }

        impl Kind {
            #[cfg(test)]
            const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// The last part of `type`.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)*
                }
            }

            pub(crate) fn status(self) -> StatusCode {
                match self {
                    $(Kind::$kind => StatusCode::$status,)*
                }
            }
        }
    };
}

// Three names have two kinds each: `strict`, `encoding` and `host`. Their status says which.
kinds! {
    Ack: BAD_REQUEST "ack",
    Body: BAD_REQUEST "body",
    Empty: BAD_REQUEST "empty",
    Unpacking: BAD_REQUEST "encoding",
    Header: BAD_REQUEST "header",
    Host: BAD_REQUEST "host",
    NotJson: BAD_REQUEST "not-json",
    NotToml: BAD_REQUEST "not-toml",
    Path: BAD_REQUEST "path",
    Query: BAD_REQUEST "query",
    StrictParameter: BAD_REQUEST "strict",
    Unauthorized: UNAUTHORIZED "unauthorized",
    Forbidden: FORBIDDEN "forbidden",
    OwnRequest: FORBIDDEN "own-request",
    NoValues: NOT_FOUND "no-values",
    NotFound: NOT_FOUND "not-found",
    Method: METHOD_NOT_ALLOWED "method",
    Timeout: REQUEST_TIMEOUT "timeout",
    Attached: CONFLICT "attached",
    Conflict: CONFLICT "conflict",
    Decided: CONFLICT "decided",
    Elsewhere: CONFLICT "elsewhere",
    Exists: CONFLICT "exists",
    Held: CONFLICT "held",
    Outdated: CONFLICT "outdated",
    Running: CONFLICT "running",
    TwoSubjects: CONFLICT "two-subjects",
    Unsealed: CONFLICT "unsealed",
    Retired: GONE "retired",
    TooLarge: PAYLOAD_TOO_LARGE "too-large",
    Encoding: UNSUPPORTED_MEDIA_TYPE "encoding",
    OtherHost: MISDIRECTED_REQUEST "host",
    NoAction: UNPROCESSABLE_ENTITY "no-action",
    Strict: UNPROCESSABLE_ENTITY "strict",
    Unusable: UNPROCESSABLE_ENTITY "unusable",
    WorkLimit: UNPROCESSABLE_ENTITY "work-limit",
    Bodies: TOO_MANY_REQUESTS "bodies",
    Exports: TOO_MANY_REQUESTS "exports",
    Rate: TOO_MANY_REQUESTS "rate",
    Streams: TOO_MANY_REQUESTS "streams",
    Turns: TOO_MANY_REQUESTS "turns",
    Archive: INTERNAL_SERVER_ERROR "archive",
    Internal: INTERNAL_SERVER_ERROR "internal",
    NotMade: INTERNAL_SERVER_ERROR "not-made",
    Clock: SERVICE_UNAVAILABLE "clock",
    NotDurable: SERVICE_UNAVAILABLE "not-durable",
    NotSealed: SERVICE_UNAVAILABLE "not-sealed",
    Refused: SERVICE_UNAVAILABLE "refused",
    StoreUnavailable: SERVICE_UNAVAILABLE "store-unavailable",
    Unconfirmed: GATEWAY_TIMEOUT "unconfirmed",
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The rows of the page's table of types: name and status.
    fn on_the_page() -> Vec<(String, u16)> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/server.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, table) = text.split_once("\n### Types\n").unwrap();
        let table = table.split("\n## ").next().unwrap();
        let row = |line: &str| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let name = cells.next()?.strip_suffix('`')?.to_owned();
            Some((name, cells.next()?.parse().ok()?))
        };
        table.lines().filter_map(row).collect()
    }

    #[test]
    fn the_page_has_every_type_and_no_other() {
        let mut wanted: Vec<(String, u16)> =
            Kind::ALL.iter().map(|kind| (kind.name().to_owned(), kind.status().as_u16())).collect();
        wanted.sort();
        assert_eq!(on_the_page(), wanted, "by name and status");
        wanted.dedup();
        assert_eq!(wanted.len(), Kind::ALL.len(), "two kinds with one name and status");
    }
}
