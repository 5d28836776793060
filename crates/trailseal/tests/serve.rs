//! The server inside the application.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trailseal::{Ack, Event, RecordOptions, Trail, serve};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_records_the_server_shows() {
    let trail = Trail::temporary().unwrap();
    let options = RecordOptions::new().ack(Ack::Durable).timeout(Duration::from_secs(60));
    trail.with(options).record(Event::new("invoice.approve")).unwrap();
    let mut config = serve::Config::default();
    config.listen = ([127, 0, 0, 1], 0).into();
    config.open = true;
    let server = serve::bind(&trail, config).await.unwrap();
    let address = server.address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move {
        let _ = stopped.await;
    }));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /v1/events HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("invoice.approve"), "{answer}");
    stop.send(()).unwrap();
    running.await.unwrap();
    trail.close_async(Duration::from_secs(60)).await.unwrap();
}
