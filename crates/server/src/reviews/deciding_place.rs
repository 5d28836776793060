//! Where reviews are decided: in the trails of one folder, or in a store that several servers share.

use std::sync::{Arc, Mutex};

use crate::shared::SharedStore;

pub(super) enum Place {
    Own,
    Shared(SharedPlace),
}

pub(super) struct SharedPlace {
    pub(super) store: Arc<SharedStore>,
    /// Where the trail's requests begin that are not known to be in the store; `None` until it was asked. Held while some are
    /// put there.
    pub(super) published: Mutex<Option<u64>>,
}

impl Place {
    pub(super) fn new(shared: Option<Arc<SharedStore>>) -> Place {
        match shared {
            None => Place::Own,
            Some(store) => Place::Shared(SharedPlace { store, published: Mutex::default() }),
        }
    }
}
