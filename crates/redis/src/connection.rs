//! A connection that gives up in time, and errors that show no password.
//!
//! Commands are never put into a transaction: a server that is out of memory refuses all of one, also what would free memory.
//! What must happen together is a script.

use std::time::Duration;

use redis::{Client, Connection, FromRedisValue, Pipeline};

use crate::url::RedisUrl;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// No single read or write takes longer; a server that is slower than that is as good as down.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A Redis server could not be used.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} {server}")]
pub struct RedisError {
    doing: &'static str,
    server: String,
    #[source]
    source: redis::RedisError,
}

impl RedisError {
    /// Whether the server answered that a key does not hold what it must, so that other keys can be used.
    pub(crate) fn is_of_a_key(&self) -> bool {
        let kind = self.source.kind();
        let is_of_a_type =
            self.source.code() == Some("WRONGTYPE") || self.source.to_string().contains("WRONGTYPE");
        is_of_a_type || matches!(kind, redis::ErrorKind::Parse | redis::ErrorKind::UnexpectedReturnType)
    }
}

/// A connection that is made when it is needed, and given up after a failure.
pub(crate) struct Redis {
    url: RedisUrl,
    connection: Option<Connection>,
}

impl Redis {
    pub(crate) fn new(url: RedisUrl) -> Redis {
        Redis { url, connection: None }
    }

    /// Gives the connection up; the next call makes another.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Has the server do all of this, one after the other.
    pub(crate) fn ask<T: FromRedisValue>(
        &mut self,
        doing: &'static str,
        commands: &Pipeline,
    ) -> Result<T, RedisError> {
        let mut connection = self.connected()?;
        match commands.query(&mut connection) {
            Ok(answer) => {
                self.connection = Some(connection);
                Ok(answer)
            }
            Err(source) => Err(RedisError { doing, server: self.url.to_string(), source }),
        }
    }

    fn connected(&mut self) -> Result<Connection, RedisError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let connect = || {
            // Another part of the program may have chosen one already; then that counts.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = Client::open(self.url.info().clone())?;
            let connection = client.get_connection_with_timeout(CONNECT_WITHIN)?;
            connection.set_read_timeout(Some(ANSWER_WITHIN))?;
            connection.set_write_timeout(Some(ANSWER_WITHIN))?;
            Ok(connection)
        };
        let failed = |source| RedisError { doing: "connect to", server: self.url.to_string(), source };
        connect().map_err(failed)
    }
}
