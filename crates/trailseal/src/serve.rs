//! The server and its viewer, inside the application.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use trailseal::{Trail, serve};
//!
//! let trail = Trail::open("./trail")?;
//! let server = serve::bind(&trail, serve::Config::default()).await?;
//! println!("see {}", server.url());
//! if let Some(token) = server.first_token() {
//!     println!("admin token, shown only now: {token}");
//! }
//! server.run(async { let _ = tokio::signal::ctrl_c().await; }).await;
//! trail.close_async(std::time::Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```

pub use trailseal_server::{
    Config, HealthLimits, ProxyHeader, SecondPerson, Server, ServerError, Stopped, TlsFiles,
};

use crate::Trail;

/// A server for this trail. It listens, but does not respond until it [runs](Server::run). The trail still belongs to the
/// application: close it after the server has stopped.
///
/// # Errors
/// When it cannot listen, or others could reach it without TLS.
pub async fn bind(trail: &Trail, config: Config) -> Result<Server, ServerError> {
    let (trail, dir) = trail.served();
    Server::bind(trail, dir, config).await
}
