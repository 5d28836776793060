//! `trailseal token`: who may use the server.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::file::StdFiles;
use trailseal_core::{ReadError, Trail, trails_in};
use trailseal_event::filter::{parse_span, parse_time};
use trailseal_event::{Event, Object, Timestamp};
use trailseal_server::{NewToken, Scope, TokenError, TokenFile};

use super::text::write_out;
use super::writing::{close_trail, open_trail, tell_slot};
use crate::arguments::Token;
use crate::failure::{Failure, Outcome};
use crate::server_client::ServerClient;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, command: &Token, json: bool) -> Outcome {
    match command {
        Token::Create { name, scope, tenant, expires } => {
            let scopes = scope.iter().map(|name| parse_scope(name)).collect::<Outcome<Vec<_>>>()?;
            let expires = expires.as_deref().map(parse_expiry).transpose()?;
            let new = NewToken { name: name.clone(), scopes, tenant: tenant.clone(), expires };
            let token = create(settings, new)?;
            let text = if json { json!({"name": name, "token": token}).to_string() } else { token };
            write_out(None, format!("{text}\n").as_bytes())
        }
        Token::List => list(settings, json),
        Token::Revoke { name } => revoke(settings, name),
    }
}

fn parse_scope(name: &str) -> Outcome<Scope> {
    Scope::parse(name.trim()).ok_or_else(|| {
        Failure::could_not(format!("--scope cannot be {name:?}: use write, read, review, admin or personal"))
    })
}

/// A time to come, or a span from now on. A past time is taken only if it names its zone, as a program's would.
fn parse_expiry(text: &str) -> Outcome<Timestamp> {
    let now = SystemClock.now();
    let after = |span: Duration| {
        let micros = i64::try_from(span.as_micros()).ok()?;
        now.as_micros().checked_add(micros).map(Timestamp::from_micros)
    };
    let to_come = || parse_time(text, now).filter(|at| *at > now);
    let at = Timestamp::parse(text).or_else(|| parse_span(text).and_then(after)).or_else(to_come);
    at.ok_or_else(|| {
        Failure::could_not(format!(
            "--expires cannot be {text:?}: use 90d, 24h, or a time to come, such as 2027-01-01"
        ))
    })
}

/// The server that keeps the tokens, if one runs.
fn beside(settings: &Settings) -> Outcome<Option<ServerClient>> {
    let server = ServerClient::beside(settings)?;
    if let Some(folder) = server.as_ref().and_then(ServerClient::folder) {
        tell_slot(settings, folder, "tokens");
    }
    Ok(server)
}

fn create(settings: &Settings, new: NewToken) -> Outcome<String> {
    if let Some(server) = beside(settings)? {
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.name()).collect();
        let expires = new.expires.map(|at| at.to_string());
        let body = json!({"name": new.name, "scopes": scopes, "tenant": new.tenant, "expires": expires});
        let answer = server.json("POST", "/v1/tokens", &body)?;
        return match answer["token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(Failure::could_not("the server gave no token")),
        };
    }
    let mut details = Object::default();
    details.insert("name", new.name.as_str());
    details.insert("scopes", new.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(","));
    if let Some(tenant) = &new.tenant {
        details.insert("for_tenant", tenant.as_str());
    }
    with_trail(settings, "token_created", details, |tokens, trail| tokens.create(new, trail))
}

fn revoke(settings: &Settings, name: &str) -> Outcome {
    if let Some(server) = beside(settings)? {
        let path = format!("/v1/tokens/{name}");
        return server.json("DELETE", &path, &Value::Null).map(drop);
    }
    let mut details = Object::default();
    details.insert("name", name);
    with_trail(settings, "token_revoked", details, |tokens, _| tokens.revoke(name))
}

/// Changes the tokens and records the change, while no server runs.
fn with_trail<T>(
    settings: &Settings,
    what: &str,
    details: Object,
    change: impl FnOnce(&TokenFile, &Trail) -> Result<T, TokenError>,
) -> Outcome<T> {
    let trail = open_trail(settings)?;
    tell_slot(settings, trail.folder().root(), "tokens");
    let changed = TokenFile::open(trail.folder().root())
        .and_then(|tokens| change(&tokens, &trail))
        .map_err(token_failure);
    let recorded = match &changed {
        Ok(_) => trail.record_own(what, Event { details, ..Event::default() }).map(drop),
        Err(_) => Ok(()),
    };
    close_trail(&trail)?;
    recorded?;
    changed
}

fn token_failure(error: TokenError) -> Failure {
    match error {
        TokenError::Exists { .. } | TokenError::Unknown { .. } => Failure::no(error),
        error => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Failure::could_not(format!("{error}{cause}"))
        }
    }
}

fn list(settings: &Settings, json: bool) -> Outcome {
    let tokens = match beside(settings)? {
        Some(server) => {
            let answer = server.json("GET", "/v1/tokens", &Value::Null)?;
            serde_json::from_value(answer["tokens"].clone()).map_err(|error| {
                Failure::could_not(format!("the server's response could not be read: {error}"))
            })?
        }
        None => {
            let dir = settings.dir();
            let folder = trails_in(&dir, &StdFiles).unwrap_or_default().into_iter().next();
            let folder = folder.ok_or(ReadError::NoTrail { path: dir })?;
            tell_slot(settings, &folder, "tokens");
            TokenFile::open(&folder).map_err(token_failure)?.list()
        }
    };
    let mut out = std::io::stdout();
    if json {
        return Ok(writeln!(out, "{}", json!({ "tokens": tokens }))?);
    }
    for token in tokens {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
        let tenant = token.tenant.map(|tenant| format!(", tenant {tenant}")).unwrap_or_default();
        let expires = token.expires.map(|at| format!(", until {at}")).unwrap_or_default();
        let used = token.last_used.map_or("never used".to_owned(), |at| format!("last used {at}"));
        writeln!(out, "{:<24} {}{tenant}{expires}, {used}", token.name, scopes.join(","))?;
    }
    Ok(())
}
