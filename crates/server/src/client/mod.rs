//! Who is at the other end of a connection.

mod address;
mod identity;

pub(crate) use address::client_address;
pub(crate) use identity::{Client, Peer, network_of};
