//! `trailseal serve`: the trail over HTTP.

use std::io::Write as _;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use trailseal_core::{Notice, OnNotice, Trail, with_causes};
use trailseal_server::{Owner, Server, ServerError, raise_limit_of_files};

use super::writing::{CLOSE_TIMEOUT, all_sealed, deliver, refuse_trail_as_slots};
use crate::arguments::Serve;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::server_log;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, arguments: &Serve) -> Outcome {
    server_log::begin();
    // Must run before anything is opened: components that read many files decide by it how many to keep open.
    if let Err(error) = raise_limit_of_files() {
        tracing::warn!(error = %error, "the limit on open files could not be raised");
    }
    let mut config = settings.server_config()?;
    config.listen = arguments.listen.unwrap_or(config.listen);
    config.open = arguments.open;
    // One file may be that of several servers, of which one retires.
    if config.retention.at.is_none() && !config.retention.rules.is_empty() {
        tracing::warn!(
            "this server retires nothing by [[retention.rule]], because retention.at is not set; such as at = \"03:00\""
        );
    }
    let store = settings.store(&arguments.store)?;
    if let Some(store) = &store {
        store.share(&mut config);
    }
    let mut options = settings.options()?;
    let on_notice: OnNotice = Arc::new(|notice: &Notice| tracing::warn!("{notice}"));
    options.on_notice = Some(on_notice.clone());
    refuse_trail_as_slots(&settings)?;
    let trail = match settings.uses_slots()? {
        true => Trail::open_slot(settings.dir(), options)?,
        false => Trail::open(settings.dir(), options)?,
    };
    deliver(&settings, &trail, store.as_ref())?;
    #[cfg(feature = "postgres")]
    let beside = (
        super::outbox::beside(&settings, &trail)?,
        super::writing::deliver_abandoned(&settings, store.as_ref(), Some(on_notice))?,
    );
    #[cfg(feature = "postgres")]
    {
        config.outbox = beside.0.as_ref().map(trailseal_postgres::outbox::Relay::watch);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::could_not(format!("could not start threads: {error}")))?;
    let served = runtime.block_on(serve(&settings, trail.clone(), config));
    // Requests that wait for the disk are done; the rest must not delay the close.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    #[cfg(feature = "postgres")]
    drop(beside);
    let cut = match served {
        Ok(cut) => cut,
        Err(failure) => {
            trail.close(CLOSE_TIMEOUT)?;
            return Err(failure);
        }
    };
    let closed = trail.close(CLOSE_TIMEOUT)?;
    let lag: u64 = closed.deliveries.iter().map(|sink| sink.lag_events).max().unwrap_or(0);
    tell(&format!(
        "stopped: {} events on disk, {} sealed, {} not yet delivered and kept for the next start; {cut} connections \
         cut",
        thousands(closed.events),
        thousands(closed.sealed),
        thousands(lag),
    ));
    all_sealed(&closed)
}

async fn serve(settings: &Settings, trail: Trail, config: trailseal_server::Config) -> Outcome<usize> {
    let failed = |error: std::io::Error| Failure::could_not(format!("could not listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let server = Server::bind(trail.clone(), settings.dir(), config).await.map_err(could_not)?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on {}", server.url())?;
    writeln!(out, "data in {}", settings.dir().display())?;
    if let Some(token) = server.first_token() {
        writeln!(out, "admin token, shown only now: {token}")?;
    }
    out.flush()?;
    let owner = server.owner();
    let stop = async {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hang_up.recv() => return_to_settings(settings, &trail, &owner),
            }
        }
    };
    Ok(server.run(stop).await.cut)
}

/// Applies the policy of the current settings. Invalid settings change nothing.
fn return_to_settings(settings: &Settings, trail: &Trail, owner: &Owner) {
    let policy = settings.reload().and_then(|settings| settings.policy());
    let return_to = |policy| match owner.shares() {
        true => super::policy::return_all_to(settings, owner, &policy),
        false => super::policy::return_to(settings, trail, policy),
    };
    let reset = policy.and_then(|policy| tokio::task::block_in_place(|| return_to(policy)));
    match reset {
        Ok(()) => tracing::info!("the policy in the settings is in force"),
        Err(failure) => tracing::warn!(reason = failure.text(), "the policy is unchanged"),
    }
}

fn could_not(error: ServerError) -> Failure {
    Failure::could_not(with_causes(&error))
}
