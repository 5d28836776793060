//! `trailseal token`: who may use the server.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::file::StdFiles;
use trailseal_core::{ReadError, trails_in};
use trailseal_event::Timestamp;
use trailseal_event::filter::{parse_span, parse_time};
use trailseal_server::{Config, NewToken, Scope, TokenError, TokenInfo, tokens_in};

use super::deciding::{beside_without_store, decide};
use super::reading::trails_to_read;
use super::text::write_out;
use super::writing::tell_slot;
use crate::arguments::{StoreFlag, Token};
use crate::failure::{Failure, Outcome};
use crate::server_client::ServerClient;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, command: &Token, json: bool) -> Outcome {
    match command {
        Token::Create { name, scope, tenant, expires, store } => {
            let scopes = scope.iter().map(|name| parse_scope(name)).collect::<Outcome<Vec<_>>>()?;
            let expires = expires.as_deref().map(parse_expiry).transpose()?;
            let new = NewToken { name: name.clone(), scopes, tenant: tenant.clone(), expires };
            let token = create(settings, new, store)?;
            let text = if json { json!({"name": name, "token": token}).to_string() } else { token };
            write_out(None, format!("{text}\n").as_bytes())
        }
        Token::List { store } => list(settings, store, json),
        Token::Revoke { name, store } => revoke(settings, name, store),
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
fn beside(settings: &Settings, store: &StoreFlag) -> Outcome<Option<ServerClient>> {
    let server = beside_without_store(settings, store)?;
    if let Some(folder) = server.as_ref().and_then(ServerClient::folder)
        && settings.own_store()?.is_none()
    {
        tell_slot(settings, folder, "tokens");
    }
    Ok(server)
}

fn create(settings: &Settings, new: NewToken, store: &StoreFlag) -> Outcome<String> {
    if let Some(server) = beside(settings, store)? {
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.name()).collect();
        let expires = new.expires.map(|at| at.to_string());
        let body = json!({"name": new.name, "scopes": scopes, "tenant": new.tenant, "expires": expires});
        let answer = server.json("POST", "/v1/tokens", &body)?;
        return match answer["token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(Failure::could_not("the server gave no token")),
        };
    }
    decide(settings, store, "tokens", |owner, _| owner.create_token(new).map_err(token_failure))
}

fn revoke(settings: &Settings, name: &str, store: &StoreFlag) -> Outcome {
    if let Some(server) = beside(settings, store)? {
        let path = format!("/v1/tokens/{name}");
        return server.json("DELETE", &path, &Value::Null).map(drop);
    }
    if settings.store(store)?.is_none() {
        // Revoking makes no trail.
        trails_to_read(&settings.dir())?;
    }
    decide(settings, store, "tokens", |owner, _| owner.revoke_token(name).map_err(token_failure))
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

fn list(settings: &Settings, store: &StoreFlag, json: bool) -> Outcome {
    let tokens: Vec<TokenInfo> = match beside(settings, store)? {
        Some(server) => {
            let answer = server.json("GET", "/v1/tokens", &Value::Null)?;
            serde_json::from_value(answer["tokens"].clone()).map_err(|error| {
                Failure::could_not(format!("the server's response could not be read: {error}"))
            })?
        }
        None => {
            let (dir, store) = (settings.dir(), settings.store(store)?);
            let folder = trails_in(&dir, &StdFiles).unwrap_or_default().into_iter().next();
            let folder = match (folder, &store) {
                (Some(folder), _) => folder,
                // Those in the store need no folder.
                (None, Some(_)) => dir,
                (None, None) => return Err(ReadError::NoTrail { path: dir }.into()),
            };
            let mut config = Config::default();
            match &store {
                Some(store) => store.share(&mut config),
                None => tell_slot(settings, &folder, "tokens"),
            }
            tokens_in(&folder, &config).map_err(token_failure)?
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
