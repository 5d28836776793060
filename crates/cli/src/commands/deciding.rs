//! What commands decide by themselves while no server runs: in the trail's folder, or in the store that servers share.

use trailseal_core::{Folder, Hold, Trail, holds_in};
use trailseal_server::{Config, Owner, shared_holds};

use super::writing::{close_trail, open_trail, tell_slot};
use crate::arguments::StoreFlag;
use crate::failure::{Failure, Outcome};
use crate::server_client::ServerClient;
use crate::settings::Settings;

/// The server that decides, if one runs.
pub(super) fn beside_without_store(settings: &Settings, store: &StoreFlag) -> Outcome<Option<ServerClient>> {
    let server = ServerClient::beside(settings)?;
    server.as_ref().map_or(Ok(()), |_| refuse_store(store))?;
    Ok(server)
}

/// A server decides in the store that it was given, so no other may be named.
pub(super) fn refuse_store(store: &StoreFlag) -> Outcome {
    match store.url {
        None => Ok(()),
        Some(_) => Err(Failure::could_not(
            "--store: the server that holds this trail decides in the store that it was given: leave --store out",
        )),
    }
}

/// Decides, with the trail open. `own` says what each slot has of its own, where no store is shared.
pub(super) fn decide<T>(
    settings: &Settings,
    store: &StoreFlag,
    own: &str,
    decide: impl FnOnce(&Owner, &Trail) -> Outcome<T>,
) -> Outcome<T> {
    let store = settings.store(store)?;
    let mut config = Config::default();
    let trail = open_trail(settings)?;
    match &store {
        Some(store) => store.share(&mut config),
        None => tell_slot(settings, trail.folder().root(), own),
    }
    let decided =
        Owner::new(trail.clone(), &config).map_err(Failure::from).and_then(|owner| decide(&owner, &trail));
    close_trail(&trail)?;
    decided
}

/// Makes sure that this trail holds what is held anywhere, before something of it goes.
pub(super) fn make_sure_of_holds(settings: &Settings, trail: &Trail) -> Outcome {
    let Some(store) = settings.own_store()? else { return Ok(()) };
    let mut config = Config::default();
    store.share(&mut config);
    Ok(Owner::new(trail.clone(), &config)?.make_sure_of_holds()?)
}

/// The holds that a run of this trail would go by, for one that changes nothing.
pub(super) fn holds_to_go_by(settings: &Settings, folder: &Folder) -> Outcome<Vec<Hold>> {
    let mut holds = holds_in(folder)?;
    if let Some(store) = settings.own_store()? {
        let mut config = Config::default();
        store.share(&mut config);
        // The folder has copies of them, which may be old.
        holds.retain(|hold| !hold.shared);
        holds.extend(shared_holds(&config)?);
    }
    Ok(holds)
}
