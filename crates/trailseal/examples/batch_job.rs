//! A job that runs at night: each piece of work is begun and ended in the trail, and a run that dies in between leaves what it
//! had begun as `unknown`.
//!
//!     cargo run -p trailseal --example batch_job
#![allow(clippy::print_stdout)]

use std::time::Duration;

use trailseal::{Ack, Event, Outcome, Query, Trail};

/// What there is to do: accounts, and what is to be paid out to each.
const PAYMENTS: [(&str, i64); 4] = [("a-1", 1200), ("a-2", 0), ("a-3", 75), ("a-4", -20)];

fn pay(amount: i64) -> Result<(), String> {
    if amount >= 0 { Ok(()) } else { Err(format!("an amount of {amount} cannot be paid")) }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let trail = Trail::open("./trail")?;
    let started = std::time::SystemTime::now();

    // Those of an earlier run that died have a beginning and no end.
    let died = Query::new().action("payment.make").outcome(Outcome::Unknown).limit(usize::MAX);
    for begun in trail.query(died)?.events {
        let correlation = begun.event.context.correlation_id.unwrap_or_default();
        let all = Query::new().by("correlation_id", &correlation)?;
        if trail.count(all)? == 1 {
            println!("event {} was begun and has no end: look what became of it", begun.index);
        }
    }

    // On disk before anything is paid: power loss does not take the beginning back.
    let durable = trail.with(Ack::Durable);
    for (account, amount) in PAYMENTS {
        let event = Event::new("payment.make").actor("night-job").actor_kind("service");
        let payment = durable.begin(event.resource("account", account).detail("amount", amount))?;
        match pay(amount) {
            Ok(()) => payment.succeed()?,
            Err(why) => payment.fail(why)?,
        };
    }

    let ended = |outcome| Query::new().action("payment.make").outcome(outcome).since(started);
    let (paid, failed) = (trail.count(ended(Outcome::Success))?, trail.count(ended(Outcome::Failure))?);
    println!("{paid} paid, {failed} failed");
    println!("{}", trail.verify()?);
    trail.close(Duration::from_secs(10))?;
    Ok(())
}
