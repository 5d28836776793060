//! Bare axum: what a service of one's own would be that takes the same requests and keeps the same promise with the
//! least.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::ListenerExt;
use tokio::sync::oneshot;

use crate::load;

const ANSWER: &str = r#"{"accepted":1}"#;

type Waiting = (Bytes, oneshot::Sender<()>);

/// Answers until it is killed. With `ack` durable, not before the event is in a file and synced.
pub fn serve(dir: &Path, ack: &str) {
    let router = match ack {
        "durable" => {
            let (sender, receiver) = mpsc::channel();
            let file = File::create(dir.join("reference")).expect("the file can be made");
            std::thread::spawn(move || write(file, receiver));
            Router::new().route("/v1/events", post(durable)).with_state(sender)
        }
        "floods" => {
            // Whatever is asked for: its body is read, and the answer is there.
            let page: &str = format!("{{\"events\":[{}]}}", vec![load::text(0); 50].join(",")).leak();
            Router::new()
                .route("/v1/events", post(accepted).get(move || async move { page }))
                .fallback(|_: Bytes| async { ANSWER })
                .layer(DefaultBodyLimit::disable())
        }
        _ => Router::new().route("/v1/events", post(accepted)),
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("listening on http://{}\ntsl_none", listener.local_addr().expect("an address"));
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await.expect("serves");
    });
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|value| value["action"].is_string())
}

async fn accepted(body: Bytes) -> Result<(StatusCode, &'static str), StatusCode> {
    if is_json(&body) { Ok((StatusCode::ACCEPTED, ANSWER)) } else { Err(StatusCode::BAD_REQUEST) }
}

async fn durable(
    State(sender): State<mpsc::Sender<Waiting>>,
    body: Bytes,
) -> Result<(StatusCode, &'static str), StatusCode> {
    if !is_json(&body) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let (done, written) = oneshot::channel();
    sender.send((body, done)).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    written.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok((StatusCode::ACCEPTED, ANSWER))
}

/// Writes what has come, syncs once, and tells all who wait for it.
fn write(mut file: File, receiver: mpsc::Receiver<Waiting>) {
    let mut bytes = Vec::new();
    while let Ok(first) = receiver.recv() {
        let waiting: Vec<Waiting> = std::iter::once(first).chain(receiver.try_iter()).collect();
        bytes.clear();
        for (body, _) in &waiting {
            bytes.extend_from_slice(body);
            bytes.push(b'\n');
        }
        file.write_all(&bytes).expect("the disk takes it");
        file.sync_data().expect("the disk syncs");
        for (_, done) in waiting {
            let _ = done.send(());
        }
    }
}
