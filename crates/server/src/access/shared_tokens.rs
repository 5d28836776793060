//! Tokens in a store that several servers share.
//!
//! Who is let in is decided by what is known here, so no request with a known token waits for the store. What is known is
//! compared with the store every second, and at once where a token is unknown. While the store cannot be reached it counts for
//! [`KNOWN_FOR`], across a restart, too. Tokens that this server made before it shared a store stay in force at this one alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trailseal_core::Trail;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::{Object, Timestamp};
use trailseal_tlog::VerifyingKey;

use super::caller::Caller;
use super::known::Known;
use super::own_tokens::{OwnTokens, Remembered};
use super::token::{Made, TokenError, TokenHash, TokenInfo, hash_of};
use super::viewer_token::{self, Grant};
use crate::own_events::{event_of, note};
use crate::problem::Problem;
use crate::shared::{Looked, SharedStore};

/// How long a token that the store had is let in while the store cannot be asked.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// What is known is remembered for a restart at least this often.
const REMEMBERED_EVERY: Duration = Duration::from_secs(60);
/// How long somebody with an unknown token waits for the store.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
/// Unknown tokens make the store be asked at most this often, however many there are.
const LOOKS_APART: Duration = Duration::from_millis(50);

pub(super) struct SharedTokens(Arc<Inner>);

struct Inner {
    own: OwnTokens,
    store: Arc<SharedStore>,
    state: Mutex<State>,
    /// When the store was last asked because of an unknown token, and whether it answered.
    asked: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

#[derive(Default)]
struct State {
    known: Known,
    /// By which other servers sign viewer tokens, and when this was so. A user may read the tokens in the store and not the keys.
    viewer_keys: Vec<VerifyingKey>,
    viewer_keys_as_of: Option<Instant>,
    /// How often tokens had changed when they were read.
    version: Option<u64>,
    /// When this was so.
    as_of: Option<Instant>,
    remembered: Option<Instant>,
    /// Uses that the store does not know yet.
    uses: BTreeMap<TokenHash, Timestamp>,
}

impl State {
    fn is_fresh(&self) -> bool {
        self.as_of.is_some_and(|at| at.elapsed() < KNOWN_FOR)
            || cfg!(trailseal_fault = "tokens_known_for_ever")
    }

    /// The keys of the other servers; none if it is too long ago that they could be read.
    fn fresh_viewer_keys(&self) -> &[VerifyingKey] {
        let is_fresh = self.viewer_keys_as_of.is_some_and(|at| at.elapsed() < KNOWN_FOR)
            || cfg!(trailseal_fault = "viewer_keys_known_for_ever");
        if is_fresh { &self.viewer_keys } else { &[] }
    }
}

impl SharedTokens {
    pub(super) fn new(own: OwnTokens, store: Arc<SharedStore>) -> SharedTokens {
        let mut state = State::default();
        if let Some(remembered) = own.remembered() {
            state.known = remembered.known;
            state.as_of = instant_of(remembered.as_of);
            state.viewer_keys = remembered.viewer_keys;
            state.viewer_keys_as_of = remembered.viewer_keys_as_of.and_then(instant_of);
        }
        SharedTokens(Arc::new(Inner { own, store, state: Mutex::new(state), asked: Default::default() }))
    }

    /// The owner of this token, if it is valid; an error if the store would have to say so and does not answer.
    pub(super) async fn find(&self, token: &str, now: Timestamp) -> Result<Option<Caller>, Problem> {
        if let Some(caller) = self.find_known(token, now) {
            return Ok(Some(caller));
        }
        if viewer_token::is_one(token) && !self.may_become_known(token, now) {
            return Ok(None);
        }
        match tokio::time::timeout(LOOK_WITHIN, self.ask(Instant::now())).await {
            Ok(true) => Ok(self.find_known(token, now)),
            _ => Err(Problem::no_store(
                "the shared store cannot be reached, and this server has not known the token for the last 10 minutes: try \
                 again later",
            )),
        }
    }

    /// Whether the store may know more of a viewer token that is not let in: its key, or its maker.
    fn may_become_known(&self, token: &str, now: Timestamp) -> bool {
        let state = self.0.lock();
        self.0.own.grant_in(token, now).is_some()
            || viewer_token::read_by(token, state.fresh_viewer_keys(), now).is_some()
            || viewer_token::is_by_another(token, state.fresh_viewer_keys())
    }

    /// As [`find`](SharedTokens::find), by what is known.
    pub(super) fn find_known(&self, token: &str, now: Timestamp) -> Option<Caller> {
        let Inner { own, .. } = &*self.0;
        if let Some(grant) = own.grant_in(token, now) {
            let state = self.0.lock();
            let had = |name: &str, made| {
                own.had(name, made, now) || state.is_fresh() && state.known.had(name, made, now)
            };
            return grant.is_in_force(had).then(|| Caller::of_grant(grant));
        }
        if viewer_token::is_one(token) {
            let state = self.0.lock();
            let keys = state.fresh_viewer_keys();
            let grant = viewer_token::read_by(token, keys, now).filter(|_| state.is_fresh());
            if let Some(grant) = grant {
                // A token in the other server's folder may have the name of one here.
                let had = |name: &str, made| state.known.had(name, made, now);
                return grant.is_in_force_elsewhere(now, had).then(|| Caller::of_grant(grant));
            }
        }
        if let Some(caller) = own.find(token, now) {
            return Some(caller);
        }
        let (hash, mut state) = (hash_of(token), self.0.lock());
        let (caller, is_noted) = if state.is_fresh() { state.known.find(&hash, now)? } else { return None };
        if is_noted {
            state.uses.insert(hash, now);
        }
        Some(caller)
    }

    /// Asks the store what has changed, unless somebody else has done so since `arrived`. Returns whether it answered.
    async fn ask(&self, arrived: Instant) -> bool {
        let mut asked = self.0.asked.lock().await;
        if let Some((at, answered)) = *asked {
            if at >= arrived {
                return answered;
            }
            tokio::time::sleep(LOOKS_APART.saturating_sub(at.elapsed())).await;
        }
        let (inner, at) = (self.0.clone(), Instant::now());
        let look = move || inner.store.look().is_ok_and(|looked| inner.follow(&looked).is_ok());
        let answered = tokio::task::spawn_blocking(look).await.unwrap_or(false);
        *asked = Some((at, answered));
        answered
    }

    /// Follows what others decided. Blocks.
    pub(super) fn follow(&self, looked: &Looked) -> Result<(), TokenError> {
        self.0.follow(looked)
    }

    /// Makes this token.
    pub(super) fn create(
        &self,
        made: Made,
        caller: &Caller,
        told: Object,
        now: Timestamp,
    ) -> Result<String, TokenError> {
        let Made { token, hash, info } = made;
        let name = info.name.clone();
        let exists = self.0.own.has(&name, now) || !self.add(hash, info, false, caller, told)?;
        if exists { Err(TokenError::Exists { name }) } else { Ok(token) }
    }

    /// Makes this token, if there is none at all.
    pub(super) fn create_first(
        &self,
        made: Made,
        caller: &Caller,
        told: Object,
    ) -> Result<Option<String>, TokenError> {
        if !self.0.own.is_empty() {
            return Ok(None);
        }
        let is_made = self.add(made.hash, made.info, true, caller, told)?;
        Ok(is_made.then_some(made.token))
    }

    fn add(
        &self,
        hash: TokenHash,
        info: TokenInfo,
        is_first: bool,
        caller: &Caller,
        told: Object,
    ) -> Result<bool, TokenError> {
        let added = self.0.store.add_token(&hash, &info, is_first, event_of(caller, told));
        let is_added = added.map_err(store_error)?;
        if is_added {
            self.0.lock().known.0.insert(hash, info);
        }
        Ok(is_added)
    }

    /// Revokes a token, at this server at once.
    pub(super) fn revoke(
        &self,
        trail: &Trail,
        caller: &Caller,
        name: &str,
        told: Object,
    ) -> Result<(), TokenError> {
        let is_revoked =
            self.0.store.revoke_token(name, event_of(caller, told.clone())).map_err(store_error)?;
        if is_revoked {
            self.0.lock().known.0.retain(|_, info| info.name != name);
        }
        match self.0.own.revoke(name) {
            Ok(()) if !is_revoked => _ = note(trail, "token_revoked", caller, told),
            Err(TokenError::Unknown { .. }) if is_revoked => {}
            revoked => revoked?,
        }
        Ok(())
    }

    /// All tokens, by name: those of the store as it is now, or as it is known.
    pub(super) fn list(&self) -> Result<Vec<TokenInfo>, TokenError> {
        let read = self.0.store.look().map_err(store_error).and_then(|looked| self.0.read(&looked));
        let mut infos = {
            let state = self.0.lock();
            if !state.is_fresh() {
                read?;
            }
            state.known.list()
        };
        infos.extend(self.0.own.list());
        infos.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(infos)
    }

    /// A viewer token that every server knows. The store is not asked, and so never waited for: [`follow`](SharedTokens::follow) puts the
    /// key there.
    pub(super) fn grant(&self, grant: &Grant) -> Result<String, TokenError> {
        self.0.own.grant_for_all(grant)
    }

    /// Keeps when tokens were last used, and remembers them for a restart.
    pub(super) fn keep_uses(&self) -> Result<(), TokenError> {
        self.0.own.keep_uses()?;
        let uses: Vec<_> = self.0.lock().uses.iter().map(|(hash, at)| (*hash, *at)).collect();
        self.0.store.note_uses(&uses).map_err(store_error)?;
        // A later use is kept the next time.
        self.0.lock().uses.retain(|hash, at| !uses.contains(&(*hash, *at)));
        Ok(())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, looked: &Looked) -> Result<(), TokenError> {
        self.store.keep_viewer_key(&self.own.viewer_key().to_string());
        let mut is_changed = self.lock().version != Some(looked.tokens);
        if is_changed {
            self.read(looked)?;
        }
        is_changed |= self.read_viewer_keys();
        let remembered = {
            let mut state = self.lock();
            if state.version == Some(looked.tokens) {
                state.as_of = state.as_of.max(Some(looked.at));
            }
            let is_remembered = state.remembered.is_some_and(|at| at.elapsed() < REMEMBERED_EVERY);
            if is_remembered && !is_changed {
                return Ok(());
            }
            state.remembered = Some(Instant::now());
            Remembered {
                known: state.known.clone(),
                as_of: time_of(looked.at),
                viewer_keys: state.viewer_keys.clone(),
                viewer_keys_as_of: state.viewer_keys_as_of.map(time_of),
            }
        };
        if let Err(error) = self.own.remember(&remembered) {
            // They are known until a restart.
            tracing::warn!(error = %error, "what is known of the shared tokens could not be kept");
        }
        Ok(())
    }

    /// Reads by which keys others sign viewer tokens. Returns whether that has changed.
    fn read_viewer_keys(&self) -> bool {
        let at = Instant::now();
        let Some(keys) = self.store.viewer_keys() else { return false };
        let mut keys: Vec<VerifyingKey> =
            keys.iter().filter_map(|key| VerifyingKey::parse(key).ok()).collect();
        keys.sort_unstable();
        let mut state = self.lock();
        let is_changed = state.viewer_keys != keys;
        (state.viewer_keys, state.viewer_keys_as_of) = (keys, Some(at));
        is_changed
    }

    /// Reads the tokens of the store, after a look.
    fn read(&self, looked: &Looked) -> Result<(), TokenError> {
        let mut tokens = Known(self.store.tokens().map_err(store_error)?.into_iter().collect());
        let mut state = self.lock();
        for (hash, at) in &state.uses {
            if let Some(info) = tokens.0.get_mut(hash) {
                info.note_use(*at);
            }
        }
        // Another thread may have looked later, and have known more.
        if state.version.is_none_or(|version| version <= looked.tokens) {
            (state.known, state.version, state.as_of) = (tokens, Some(looked.tokens), Some(looked.at));
        }
        Ok(())
    }
}

/// `None` for a time to come, which would count for longer than it may, and for one before the machine was started.
fn instant_of(time: Timestamp) -> Option<Instant> {
    let age = SystemClock.now().as_micros().saturating_sub(time.as_micros());
    Instant::now().checked_sub(Duration::from_micros(u64::try_from(age).ok()?))
}

fn time_of(at: Instant) -> Timestamp {
    let micros = i64::try_from(at.elapsed().as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(SystemClock.now().as_micros().saturating_sub(micros))
}

fn store_error(problem: Problem) -> TokenError {
    TokenError::Store(problem.detail().to_owned())
}
