//! Sends events to a server, many per request.

use std::time::Duration;

use serde_json::Value;

use crate::failure::Outcome;
use crate::output::tell;
use crate::server_client::{Answer, ServerClient, detail};

/// How many lines are sent together.
const LINES_AT_ONCE: usize = 500;
const BYTES_AT_ONCE: usize = 4 << 20;

/// How long to wait in total for a server that refuses temporarily; restarts after each request that it accepted.
const PATIENCE: Duration = Duration::from_secs(60);
const WAIT_MIN: Duration = Duration::from_secs(1);

/// The minimum needed to match a line with its event: text between braces, on one line.
pub(super) type Line<P> = (P, Vec<u8>);

/// Lines waiting to be sent.
pub(super) struct Lines<P> {
    waiting: Vec<Line<P>>,
    bytes: usize,
}

impl<P> Default for Lines<P> {
    fn default() -> Self {
        Lines { waiting: Vec::new(), bytes: 0 }
    }
}

impl<P> Lines<P> {
    pub(super) fn push(&mut self, place: P, json: Vec<u8>) {
        self.bytes += json.len();
        self.waiting.push((place, json));
    }

    pub(super) fn are_enough(&self) -> bool {
        self.waiting.len() >= LINES_AT_ONCE || self.bytes >= BYTES_AT_ONCE
    }

    pub(super) fn take(&mut self) -> Vec<Line<P>> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
    }
}

/// Where lines are sent to.
pub(super) struct Post<'a> {
    server: &'a ServerClient,
    path: String,
    /// How much longer to wait for a server that refuses.
    patience: Duration,
}

impl<'a> Post<'a> {
    pub(super) fn new(server: &'a ServerClient, path: impl Into<String>) -> Post<'a> {
        Post { server, path: path.into(), patience: PATIENCE }
    }

    /// Sends lines, and calls `take` with those that were answered together. One bad line makes a request be refused
    /// whole, so its halves are sent then, down to the line itself.
    pub(super) fn send<P>(
        &mut self,
        mut lines: Vec<Line<P>>,
        take: &mut dyn FnMut(Vec<Line<P>>, &Answer) -> Outcome,
    ) -> Outcome {
        if lines.is_empty() {
            return Ok(());
        }
        let answer = self.ask(&body(&lines))?;
        // Lines without ids may be sent again only if nothing was recorded; after 504 all of them are kept. A token
        // that may not record at all is reported without a line.
        let may_be_one_of_them = match answer.status {
            403 => {
                serde_json::from_slice::<Value>(&answer.body).is_ok_and(|problem| problem["item"].is_u64())
            }
            status => matches!(status, 400 | 409 | 413 | 422),
        };
        if may_be_one_of_them && lines.len() > 1 {
            let rest = lines.split_off(lines.len() / 2);
            self.send(lines, take)?;
            return self.send(rest, take);
        }
        take(lines, &answer)
    }

    /// The response to a request. While the server refuses temporarily, the request is sent again when it says.
    pub(super) fn ask(&mut self, body: &[u8]) -> Outcome<Answer> {
        loop {
            let answer = self.server.ask("POST", &self.path, body)?;
            if !matches!(answer.status, 429 | 503) {
                self.patience = PATIENCE;
                return Ok(answer);
            }
            let wait = answer.retry_after.unwrap_or_default().max(WAIT_MIN);
            let Some(left) = self.patience.checked_sub(wait) else { return Ok(answer) };
            if self.patience == PATIENCE {
                let problem = serde_json::from_slice(&answer.body).unwrap_or_default();
                let (detail, most) = (detail(&problem, answer.status), PATIENCE.as_secs());
                tell(&format!("the server is not accepting events: {detail}; retrying for up to {most} s"));
            }
            self.patience = left;
            std::thread::sleep(wait);
        }
    }
}

/// Objects, one per line: whatever a line contains, the server never takes it for two.
fn body<P>(lines: &[Line<P>]) -> Vec<u8> {
    lines.iter().map(|(_, line)| line.as_slice()).collect::<Vec<_>>().join(&b'\n')
}
