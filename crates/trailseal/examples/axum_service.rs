//! An axum service that records who does what. Without an argument it asks itself a few times and stops; with an address,
//! such as 127.0.0.1:3000, it serves until Ctrl-C.
//!
//!     cargo run -p trailseal --features axum --example axum_service
#![allow(clippy::print_stdout)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trailseal::tower::AuditLayer;
use trailseal::{Actor, Event, Outcome, Policy, Query, Trail, in_context};

async fn approve(State(trail): State<Trail>, Path(id): Path<String>) -> StatusCode {
    let event = Event::new("invoice.approve").resource("invoice", &id);
    if id == "0" {
        // Nobody waits for this one; what was accepted is not lost.
        let _ = trail.record_async(event.outcome(Outcome::Denied)).await;
        return StatusCode::FORBIDDEN;
    }
    // This one must not go unrecorded: the request fails if the event cannot be kept.
    if trail.record_async(event.outcome(Outcome::Success)).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    // What goes on after the answer keeps the request's context.
    tokio::spawn(in_context(async move {
        let _ = trail.record_async(Event::new("mail.send").resource("invoice", id)).await;
    }));
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = trailseal::Options::default();
    options.policy = Policy::from_toml(
        r#"
        mode = "async"
        [[rule]]
        when = { action = "*.approve" }
        mode = "sync"
        "#,
    )?;
    let trail = Trail::open_with("./trail", options)?;
    let audit = AuditLayer::new(trail.clone())
        .trusted_proxies(["10.0.0.0/8"])?
        // An authentication in front of this layer would say who it is; here a header does.
        .principal(|request| {
            let user = request.headers.get("x-user")?.to_str().ok()?.to_owned();
            Some(Actor::new(user))
        })
        .record_mutations();
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/invoices/{id}/approve", post(approve))
        .layer(audit)
        .with_state(trail.clone());

    let address = std::env::args().nth(1);
    let listener = tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let served = listener.local_addr()?;
    println!("listening on http://{served}");
    let stop = async move {
        match address {
            Some(_) => drop(tokio::signal::ctrl_c().await),
            None => ask_a_few_times(served).await,
        }
    };
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await?;

    for found in trail.query_async(Query::new()).await?.events.iter().rev() {
        let event = &found.event;
        let actor = event.actor.as_ref().and_then(|actor| actor.id.as_deref()).unwrap_or("-");
        let outcome = event.outcome.map(|outcome| outcome.to_string()).unwrap_or_default();
        let request = event.context.request_id.as_deref().unwrap_or("-");
        println!("{} {actor} {outcome} (request {request})", event.action);
    }
    // After the last request: everything is on disk and sealed when this returns.
    let closed = trail.close_async(Duration::from_secs(10)).await?;
    println!("{} events, {} of them sealed", closed.events, closed.sealed);
    Ok(())
}

async fn ask_a_few_times(server: SocketAddr) {
    for (path, user) in [("/invoices/42/approve", "anna"), ("/invoices/0/approve", "bo")] {
        let Ok(mut stream) = tokio::net::TcpStream::connect(server).await else { return };
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {server}\r\nx-user: {user}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).await.is_ok()
            && stream.read_to_string(&mut answer).await.is_ok()
        {
            println!("{user}: {}", answer.lines().next().unwrap_or_default());
        }
    }
}
