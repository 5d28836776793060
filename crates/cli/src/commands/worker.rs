//! `trailseal worker`: moves events from Redis Streams to the shared store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use trailseal_core::deliver::Sink;
use trailseal_postgres::StoreSink;
use trailseal_redis::{RedisUrl, Store, Worker, WorkerNotice};

use super::text::write_out;
use crate::arguments::Worker as Arguments;
use crate::failure::{Failure, Outcome};
use crate::output::{printable, tell};
use crate::settings::{REDIS_PASSWORD, Settings};
use crate::stream::Stream;

/// How often it is looked whether it must end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The shared store, of one trail after the other.
struct Shared(StoreSink);

impl Store for Shared {
    fn turn_to(&mut self, origin: &str) {
        self.0.turn_to(origin);
    }

    fn sink(&mut self) -> &mut dyn Sink {
        &mut self.0
    }
}

pub(super) fn run(settings: &Settings, arguments: &Arguments, as_json: bool) -> Outcome {
    let from = from(settings, arguments)?;
    let to = settings.store_of("--to", arguments.to.as_ref())?.ok_or_else(|| {
        Failure::could_not("no store is named: give --to URL, or set url under [store] in the settings")
    })?;
    let must_stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let registered = signal_hook::flag::register(signal, must_stop.clone());
        registered.map_err(|error| Failure::could_not(format!("could not listen for signals: {error}")))?;
    }
    // The origin is that of each turn.
    let stores = (0..arguments.threads).map(|_| {
        let store: Box<dyn Store> = Box::new(Shared(StoreSink::new(to.url().clone(), "")));
        store
    });
    let on_notice = Arc::new(move |notice: &WorkerNotice| say(notice, as_json));
    let worker = Worker::start(&from, stores.collect(), arguments.until_empty, on_notice)
        .map_err(|error| Failure::could_not(format!("could not start a worker: {error}")))?;
    if !arguments.until_empty {
        tell(&format!("moving events from {from} to {}", to.url().shown()));
    }
    while !must_stop.load(Ordering::Acquire) && !worker.is_finished() {
        std::thread::sleep(LOOK_EVERY);
    }
    match worker.end() {
        false if arguments.until_empty && !must_stop.load(Ordering::Acquire) => {
            Err(Failure::no("not everything in the streams could be moved: see above why".to_owned()))
        }
        _ if arguments.until_empty || must_stop.load(Ordering::Acquire) => Ok(()),
        _ => Err(Failure::could_not("the worker ended by itself: see above why".to_owned())),
    }
}

fn from(settings: &Settings, arguments: &Arguments) -> Outcome<RedisUrl> {
    let Some(url) = &arguments.from else {
        let stream = settings.streams().first().ok_or_else(|| {
            Failure::could_not("no Redis server is named: give --from URL, or add a [[sink]] to the settings")
        })?;
        return Ok(stream.url().clone());
    };
    let password = std::env::var(REDIS_PASSWORD).ok();
    let stream = Stream::parse("", &url.0, password.as_deref());
    Ok(stream.map_err(|what| Failure::could_not(format!("--from: {what}")))?.url().clone())
}

fn say(notice: &WorkerNotice, as_json: bool) {
    if !as_json {
        return tell(&printable(&format!("notice: {notice}")));
    }
    // Whoever reads it is gone; the work goes on.
    let _ = write_out(None, format!("{}\n", json!({ "notice": notice.to_string() })).as_bytes());
}
