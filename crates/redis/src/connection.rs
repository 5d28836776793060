//! A connection that gives up in time, and errors that show no password.
//!
//! Commands are never put into a transaction: a server that is out of memory refuses all of one, also what would free memory.
//! What must happen together is a script.

use std::time::Duration;

use redis::{Client, Connection, ErrorKind, FromRedisValue, Pipeline};

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
    is_of_a_key: bool,
    #[source]
    reason: Reason,
}

/// Why, in words that say what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Reason(String);

impl RedisError {
    fn new(doing: &'static str, url: &RedisUrl, error: redis::RedisError) -> RedisError {
        let is_of_a_type = error.code() == Some("WRONGTYPE") || error.to_string().contains("WRONGTYPE");
        let is_unreadable = matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType);
        let reason = Reason(match is_of_a_type {
            true => OF_ANOTHER_PROGRAM.to_owned(),
            false => reason_of(error),
        });
        RedisError { doing, server: url.to_string(), is_of_a_key: is_of_a_type || is_unreadable, reason }
    }

    /// Whether the server answered that a key does not hold what it must, so that other keys can be used.
    pub(crate) fn is_of_a_key(&self) -> bool {
        self.is_of_a_key
    }

    /// Why.
    pub(crate) fn reason(&self) -> &str {
        &self.reason.0
    }
}

const OF_ANOTHER_PROGRAM: &str = "WRONGTYPE: one of the keys `trailseal:origins` and `trailseal:{ORIGIN}:…` has another type: another \
    program uses it; remove it, and let only trails and workers use `trailseal:*`";

fn reason_of(error: redis::RedisError) -> String {
    if error.is_timeout() {
        return "it does not answer in time".to_owned();
    }
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "it refuses the user or the password".to_owned();
    }
    let text = error.to_string();
    // The first is the reason of the others.
    let Some((_, answer)) = error.into_server_errors().and_then(|errors| errors.first().cloned()) else {
        return text;
    };
    let details = answer.details().unwrap_or_default();
    // Where in a script it happened helps nobody.
    let details = details.split_once(" script: ").map_or(details, |(details, _)| details);
    format!("{}: {details}", answer.code())
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
            Err(error) => Err(RedisError::new(doing, &self.url, error)),
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
        connect().map_err(|error| RedisError::new("connect to", &self.url, error))
    }
}
