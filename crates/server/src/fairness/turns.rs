//! Turns: limited work at once, shared between clients in turn.
//!
//! In: who asks. Out: a turn, released on drop. What must hold: no client has more than its share of the turns, and
//! among waiting clients the one served longest ago comes next. So an occasional client waits for work in progress,
//! never for everything that a greedy client has requested.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::client::Client;

tokio::task_local! {
    /// For whom a request is processed, and whose turns its work takes.
    static ASKER: Asker;
}

/// A client whose work takes turns.
#[derive(Clone)]
pub(crate) struct Asker {
    turns: Arc<Turns>,
    client: Client,
}

/// How much may be done at once.
pub(crate) struct Turns {
    most: usize,
    /// The maximum per client.
    each: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    clients: HashMap<Client, Standing>,
    /// In order of arrival.
    waiting: Vec<(Client, oneshot::Sender<Turn>)>,
    /// Turns given so far.
    given: u64,
}

/// State of a client that has a turn or waits for one.
#[derive(Default)]
struct Standing {
    taken: usize,
    waiting: usize,
    /// The number of its newest turn.
    newest: u64,
}

/// One turn, released on drop.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    client: Client,
}

impl Asker {
    pub(crate) fn new(turns: &Arc<Turns>, client: Client) -> Asker {
        Asker { turns: turns.clone(), client }
    }

    /// Does `work`, in whose parts [`Asker::here`] is this one.
    pub(crate) async fn during<F: Future>(self, work: F) -> F::Output {
        ASKER.scope(self, work).await
    }

    /// For whom the current task works; `None` if no client waits for it.
    pub(crate) fn here() -> Option<Asker> {
        ASKER.try_with(Asker::clone).ok()
    }

    pub(crate) async fn turn(&self) -> Turn {
        self.turns.take(self.client.clone()).await
    }

    /// Like [`turn`](Asker::turn). Blocks.
    pub(crate) fn wait_for_turn(&self) -> Turn {
        loop {
            if let Ok(turn) = self.turns.ask(self.client.clone()).blocking_recv() {
                return turn;
            }
        }
    }
}

impl Turns {
    /// At most `most` turns at once, and `each` per client.
    pub(crate) fn new(most: usize, each: usize) -> Arc<Turns> {
        let most = most.max(1);
        Arc::new(Turns { most, each: each.clamp(1, most), state: Mutex::default() })
    }

    /// Waits for a turn.
    pub(crate) async fn take(self: &Arc<Self>, client: Client) -> Turn {
        loop {
            // Every request for a turn is answered, so this ends at the first.
            if let Ok(turn) = self.ask(client.clone()).await {
                return turn;
            }
        }
    }

    /// How many turns were given so far.
    pub(crate) fn given(&self) -> u64 {
        self.lock().given
    }

    fn ask(self: &Arc<Self>, client: Client) -> oneshot::Receiver<Turn> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        state.clients.entry(client.clone()).or_default().waiting += 1;
        state.waiting.push((client, sender));
        drop(state);
        self.give();
        receiver
    }

    /// Gives turns as long as some are free and a client may have one.
    fn give(self: &Arc<Self>) {
        while let Some((sender, turn)) = self.next() {
            // A client that no longer waits returns the turn at once, and the loop continues. Not under the lock, which
            // that also takes.
            drop(sender.send(turn));
        }
    }

    fn next(self: &Arc<Self>) -> Option<(oneshot::Sender<Turn>, Turn)> {
        let mut state = self.lock();
        if state.taken >= self.most {
            return None;
        }
        let State { clients, waiting, .. } = &*state;
        let may_have = |client: &Client| {
            let taken = clients.get(client).map_or(0, |standing| standing.taken);
            taken < self.each || cfg!(trailseal_fault = "turns_not_shared")
        };
        let (place, _) = waiting.iter().enumerate().filter(|(_, (client, _))| may_have(client)).min_by_key(
            |(place, (client, _))| (clients.get(client).map(|standing| standing.newest), *place),
        )?;
        let (client, sender) = state.waiting.remove(place);
        state.taken += 1;
        state.given += 1;
        let given = state.given;
        if let Some(standing) = state.clients.get_mut(&client) {
            standing.waiting -= 1;
            standing.taken += 1;
            standing.newest = given;
        }
        Some((sender, Turn { turns: self.clone(), client }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.taken -= 1;
        if let Some(standing) = state.clients.get_mut(&self.client) {
            standing.taken -= 1;
            if standing.taken + standing.waiting == 0 {
                state.clients.remove(&self.client);
            }
        }
        drop(state);
        self.turns.give();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn client(name: &str) -> Client {
        Client::Token(name.into())
    }

    /// Who has got a turn of those that ask, in their order.
    fn served(asked: &mut Vec<(&'static str, oneshot::Receiver<Turn>)>) -> Vec<(&'static str, Turn)> {
        let mut served = Vec::new();
        asked.retain_mut(|(name, receiver)| match receiver.try_recv() {
            Ok(turn) => {
                served.push((*name, turn));
                false
            }
            Err(_) => true,
        });
        served
    }

    #[test]
    fn a_client_has_its_part_and_those_who_wait_come_in_turn() {
        let turns = Turns::new(2, 1);
        let mut asked: Vec<_> = (0..5).map(|_| ("greedy", turns.ask(client("greedy")))).collect();
        let first = served(&mut asked);
        assert_eq!(first.len(), 1, "the other turn is for others");
        asked.push(("polite", turns.ask(client("polite"))));
        asked.push(("third", turns.ask(client("third"))));
        let second = served(&mut asked);
        assert_eq!(second.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["polite"]);
        drop(first);
        // It has waited less long than the greedy one's second request, and was never served.
        let next = served(&mut asked);
        assert_eq!(next.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["third"]);
        drop((second, next));
        let mut rest = 0;
        while !asked.is_empty() {
            rest += served(&mut asked).len();
        }
        assert_eq!(rest, 4);
        assert!(turns.lock().clients.is_empty(), "nobody is remembered who is gone");
    }

    #[test]
    fn who_waits_no_more_keeps_nobody_out() {
        let turns = Turns::new(1, 1);
        let mut asked = vec![("one", turns.ask(client("one")))];
        let first = served(&mut asked);
        drop(turns.ask(client("two")));
        asked.push(("three", turns.ask(client("three"))));
        drop(first);
        assert_eq!(served(&mut asked).len(), 1);
        assert_eq!(turns.lock().taken, 0);
    }
}
