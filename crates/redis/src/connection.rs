//! A connection that gives up in time, and errors that show no password.

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

    /// Has the server do all of this, or none of it.
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

/// Commands that are done together, or not at all.
pub(crate) fn together() -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    pipeline
}

/// An error with everything that it comes from.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
