//! `import`, done by the server.

use serde_json::Value;

use super::post::{Line, Lines, Post};
use crate::arguments::Import;
use crate::commands::import::{Place, Source, Summary};
use crate::failure::{Failure, Outcome};
use crate::output::thousands;
use crate::server_client::{Answer, ServerClient, detail, detail_of_one};

/// As without a server, what was imported is on disk when the command ends.
const PATH: &str = "/v1/events?ack=durable";

pub(crate) fn import(server: &ServerClient, arguments: &Import, json: bool) -> Outcome {
    let source = Source::open(arguments)?;
    let mut summary = Summary::default();
    let mut lines = Lines::default();
    let mut post = Post::new(server, PATH);
    let sent = source.each(&mut summary, |place, event, summary| {
        lines.push(place, event.to_vec());
        if lines.are_enough() { send(&mut post, &mut lines, summary) } else { Ok(()) }
    });
    let sent = sent.and_then(|()| send(&mut post, &mut lines, &mut summary));
    summary.finish(json, sent)
}

/// Sends what waits. If that ends the import, it says how far it came.
fn send(post: &mut Post<'_>, lines: &mut Lines<Place>, summary: &mut Summary) -> Outcome {
    post.send(lines.take(), &mut |lines, answer| count(lines, answer, summary)).map_err(|failure| {
        let (what, confirmed) = (failure.text(), thousands(summary.confirmed()));
        Failure::could_not(format!(
            "{what}; {confirmed} of the records are confirmed: import again to add the others; none is recorded twice"
        ))
    })
}

/// What the server says has become of each line.
fn count(lines: Vec<Line<Place>>, answer: &Answer, summary: &mut Summary) -> Outcome {
    let status = answer.status;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let events = answer["events"].as_array().map_or(&[][..], Vec::as_slice);
    match status {
        202 | 504 if events.len() == lines.len() => {}
        400 | 409 | 413 | 422 => return fail(lines, &detail_of_one(&answer, status), summary),
        // It is another tenant's; without an item, the token may not record at all.
        403 if answer["item"].is_u64() => return fail(lines, &detail_of_one(&answer, status), summary),
        _ => return Err(Failure::could_not(detail(&answer, status))),
    }
    for ((place, _), event) in lines.iter().zip(events) {
        match (event["repeated"] == true, event["sampled_out"] == true) {
            (true, _) => summary.repeated += 1,
            (_, true) => summary.left_out += 1,
            _ => summary.recorded += 1,
        }
        if status == 504 && !event["index"].is_null() {
            summary.unconfirmed(place, &detail(&answer, status));
        }
    }
    Ok(())
}

fn fail(lines: Vec<Line<Place>>, reason: &str, summary: &mut Summary) -> Outcome {
    lines.into_iter().for_each(|(place, _)| summary.fail(place, reason.to_owned()));
    Ok(())
}
