//! Tokens in the trail's folder.
#![allow(clippy::unwrap_used)]

use trailseal_event::Timestamp;
use trailseal_event::mask::TenantError;

use super::own_tokens::OwnTokens;
use super::scope::Scope;
use super::token::{NewToken, TokenError};
use super::tokens::find_in;
use super::viewer_token::{Grant, Signer, is_by_another, read_by};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_795_233_600_000_000 + seconds * 1_000_000)
}

fn new(name: &str, expires: Option<Timestamp>) -> NewToken {
    NewToken { name: name.into(), scopes: vec![Scope::Read], tenant: Some("acme".into()), expires }
}

#[test]
fn a_token_lives_from_making_to_revoking_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = OwnTokens::load(folder.path()).unwrap();
    let token = tokens.create(new("reader", None), at(0), |_| Ok(())).unwrap();
    assert!(token.len() >= 24 && token.starts_with("tsl_"), "{token}");
    let tokens = OwnTokens::load(folder.path()).unwrap();
    let caller = find_in(&tokens, &token, at(1)).unwrap();
    assert_eq!((caller.name(), caller.tenant()), ("reader", Some("acme")));
    assert!(caller.has(Scope::Read).is_ok() && caller.has(Scope::Write).is_err());
    assert!(find_in(&tokens, "tsl_AAAAAAAAAAAAAAAAAAAAAAAA", at(1)).is_none());
    let text = std::fs::read_to_string(folder.path().join("tokens.json")).unwrap();
    assert!(!text.contains(&token[4..]), "the file holds the token");
    assert!(matches!(tokens.create(new("reader", None), at(1), |_| Ok(())), Err(TokenError::Exists { .. })));
    tokens.revoke("reader").unwrap();
    assert!(find_in(&tokens, &token, at(1)).is_none());
    assert!(matches!(tokens.revoke("reader"), Err(TokenError::Unknown { .. })));
}

#[test]
fn a_tenant_that_no_event_keeps_gets_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = OwnTokens::load(folder.path()).unwrap();
    let too_long = |_: &str| Err(TenantError::TooLong { bytes: 2_000 });
    assert!(matches!(tokens.create(new("r", None), at(0), too_long), Err(TokenError::Tenant(_))));
    assert!(tokens.is_empty());
}

#[test]
fn a_token_ends_at_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = OwnTokens::load(folder.path()).unwrap();
    let token = tokens.create(new("short", Some(at(10))), at(0), |_| Ok(())).unwrap();
    assert!(find_in(&tokens, &token, at(9)).is_some() && find_in(&tokens, &token, at(10)).is_none());
    tokens.create(new("short", None), at(11), |_| Ok(())).unwrap();
}

#[test]
fn a_viewer_token_ends_with_the_token_that_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = OwnTokens::load(folder.path()).unwrap();
    tokens.create(new("maker", None), at(0), |_| Ok(())).unwrap();
    let grant = Grant {
        by: "maker".into(),
        made: at(0),
        tenant: Some("acme".into()),
        actor: None,
        resource: Some("invoice/7".into()),
        expires: at(60),
    };
    let token = tokens.grant(&grant).unwrap();
    let caller = find_in(&tokens, &token, at(1)).unwrap();
    assert!(caller.is_restricted() && caller.has(Scope::Write).is_err());
    let forged = format!("{}A", &token[..token.len() - 1]);
    assert!(token.ends_with('A') || find_in(&tokens, &forged, at(1)).is_none());
    assert!(find_in(&tokens, &token, at(60)).is_none(), "it has ended");
    tokens.revoke("maker").unwrap();
    assert!(find_in(&tokens, &token, at(1)).is_none(), "its maker was revoked");
    tokens.create(new("maker", None), at(2), |_| Ok(())).unwrap();
    assert!(find_in(&tokens, &token, at(3)).is_none(), "another has its maker's name");
}

#[test]
fn a_viewer_token_for_all_is_read_by_whoever_knows_the_key_and_nobody_else() {
    let [one, other] = [b"one", b"two"].map(|secret| Signer::new(secret));
    let grant = Grant {
        by: "app".into(),
        made: at(0),
        tenant: Some("acme".into()),
        actor: None,
        resource: None,
        expires: at(60),
    };
    let token = one.sign_for_all(&grant);
    let keys = [other.verifying_key(), one.verifying_key()];
    assert_eq!(one.read(&token, at(1)), Some(grant.clone()));
    assert_eq!(read_by(&token, &keys, at(1)), Some(grant.clone()));
    assert_eq!(read_by(&token, &keys, at(60)), None);
    assert_eq!((other.read(&token, at(1)), read_by(&token, &keys[..1], at(1))), (None, None));
    assert!(is_by_another(&token, &keys[..1]) && !is_by_another(&token, &keys));
    // One for the server alone says nothing to others, and no bit of either can be changed.
    let own = one.sign(&grant);
    assert_eq!(one.read(&own, at(1)), Some(grant));
    assert!(read_by(&own, &keys, at(1)).is_none() && !is_by_another(&own, &keys));
    for token in [&token, &own] {
        for place in "tsl_v-".len()..token.len() {
            let mut letters = token.clone().into_bytes();
            letters[place] = if letters[place] == b'A' { b'Q' } else { b'A' };
            let changed = String::from_utf8(letters).unwrap();
            assert!(
                one.read(&changed, at(1)).is_none() && read_by(&changed, &keys, at(1)).is_none(),
                "{place}"
            );
        }
    }
}

#[test]
fn what_needs_no_token_at_one_server_needs_one_at_the_others() {
    let grant = |by: &str| Grant {
        by: by.into(),
        made: at(0),
        tenant: None,
        actor: None,
        resource: None,
        expires: at(60),
    };
    assert!(grant("open").is_in_force(|_, _| false) && grant("owner").is_in_force(|_, _| false));
    assert!(!grant("open").is_in_force_elsewhere(at(1), |_, _| false));
    assert!(!grant("owner").is_in_force_elsewhere(at(1), |_, _| false));
    assert!(grant("app").is_in_force_elsewhere(at(1), |name, made| name == "app" && made == at(0)));
}

#[test]
fn what_a_stolen_key_signs_lasts_no_longer_than_what_a_server_makes() {
    let is_in_force = |made, expires| {
        let (made, expires) = (at(made), at(expires));
        let grant = Grant { by: "app".into(), made, tenant: None, actor: None, resource: None, expires };
        grant.is_in_force_elsewhere(at(0), |_, _| true)
    };
    assert!(is_in_force(0, 86_400) && is_in_force(-80_000, 6_400) && is_in_force(200, 900));
    assert!(!is_in_force(0, 86_401), "it lasts too long");
    assert!(!is_in_force(400, 900), "it comes from the future");
    let (made, expires) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
    let grant = Grant { by: "app".into(), made, tenant: None, actor: None, resource: None, expires };
    assert!(!grant.is_in_force_elsewhere(at(0), |_, _| true));
}

#[test]
fn a_viewer_secret_that_was_removed_is_made_anew_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = OwnTokens::load(folder.path()).unwrap();
    tokens.create(new("maker", None), at(0), |_| Ok(())).unwrap();
    let grant =
        Grant { by: "maker".into(), made: at(0), tenant: None, actor: None, resource: None, expires: at(60) };
    let before = tokens.grant(&grant).unwrap();
    let path = folder.path().join("tokens.json");
    let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file.as_object_mut().unwrap().remove("viewer_secret");
    std::fs::write(&path, file.to_string()).unwrap();
    let after = OwnTokens::load(folder.path()).unwrap().grant(&grant).unwrap();
    let tokens = OwnTokens::load(folder.path()).unwrap();
    assert!(find_in(&tokens, &after, at(1)).is_some(), "the new secret is kept");
    assert!(find_in(&tokens, &before, at(1)).is_none(), "what the old one signed is over");
}
