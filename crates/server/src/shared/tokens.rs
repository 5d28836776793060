//! Tokens in the store.

use serde_json::{Value, json};
use trailseal_event::{Event, Timestamp};
use trailseal_postgres::shared::{Change, Decided, SharedToken, TokenUse};

use super::SharedStore;
use crate::access::{Scope, TokenHash, TokenInfo};
use crate::problem::Problem;

impl SharedStore {
    /// Adds a token, unless a valid one has its name; the first one, unless there is any. Returns whether it did. Blocks.
    pub(crate) fn add_token(
        &self,
        hash: &TokenHash,
        info: &TokenInfo,
        is_first: bool,
        event: Event,
    ) -> Result<bool, Problem> {
        let scopes: Vec<&str> = info.scopes.iter().map(|scope| scope.name()).collect();
        let time = |text: &str| Timestamp::parse(text);
        let token = SharedToken {
            name: info.name.clone(),
            sha256: *hash,
            about: json!({"scopes": scopes, "tenant": info.tenant}).to_string(),
            created: time(&info.created).unwrap_or_default(),
            expires: info.expires.as_deref().and_then(time),
            last_used: None,
        };
        let change = if is_first { Change::AddFirstToken(&token) } else { Change::AddToken(&token) };
        Ok(self.decide("token_created", event, &change)? == Decided::Made)
    }

    /// Ends a token. Returns whether there was one of this name. Blocks.
    pub(crate) fn revoke_token(&self, name: &str, event: Event) -> Result<bool, Problem> {
        Ok(self.decide("token_revoked", event, &Change::RevokeToken(name))? == Decided::Made)
    }

    /// All tokens. Blocks.
    pub(crate) fn tokens(&self) -> Result<Vec<(TokenHash, TokenInfo)>, Problem> {
        let tokens = self.store.tokens().map_err(|error| self.unreachable(&error))?;
        Ok(tokens.into_iter().filter_map(|token| Some((token.sha256, info_of(token)?))).collect())
    }

    /// Notes when tokens were last used. Blocks.
    pub(crate) fn note_uses(&self, uses: &[(TokenHash, Timestamp)]) -> Result<(), Problem> {
        let uses: Vec<TokenUse> = uses.iter().map(|&(sha256, at)| TokenUse { sha256, at }).collect();
        self.store.note_uses(&uses).map_err(|error| self.unreachable(&error))
    }
}

/// `None` if it is not one that this program writes: then it lets nobody in.
pub(super) fn info_of(token: SharedToken) -> Option<TokenInfo> {
    let about: Value = serde_json::from_str(&token.about).ok()?;
    // A scope that only a later version knows allows nothing here.
    let scopes = about["scopes"].as_array()?.iter().filter_map(|name| Scope::parse(name.as_str()?)).collect();
    let tenant = match &about["tenant"] {
        Value::Null => None,
        Value::String(tenant) => Some(tenant.clone()),
        // Never taken for one without a tenant, who would see all.
        _ => return None,
    };
    Some(TokenInfo {
        name: token.name,
        scopes,
        tenant,
        created: token.created.to_string(),
        expires: token.expires.map(|at| at.to_string()),
        last_used: token.last_used.map(|at| at.to_string()),
    })
}
