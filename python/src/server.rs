//! `Trail.serve`: the HTTP interface and the viewer, in threads of their own beside the application.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot::{Sender, channel};
use tokio::task::JoinHandle;
use trailseal_cli::application::{Application, Sources};
use trailseal_core::fork;

use crate::failures;
use crate::opening::told;
use crate::shared::Shared;

/// A server that runs.
#[pyclass(frozen, weakref, module = "trailseal")]
pub(crate) struct Server {
    url: String,
    address: SocketAddr,
    first_token: Option<String>,
    fork: u32,
    running: Mutex<Option<Running>>,
}

struct Running {
    runtime: Runtime,
    stop: Sender<()>,
    done: JoinHandle<()>,
}

impl Server {
    /// Starts it.
    pub(crate) fn start(
        py: Python<'_>,
        shared: &Arc<Shared>,
        listen: &str,
        open: bool,
        config: Option<PathBuf>,
        settings: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Server> {
        let address: SocketAddr = listen.parse().map_err(|_| {
            PyValueError::new_err(format!(
                "listen cannot be {listen:?}: use an address such as 127.0.0.1:8080"
            ))
        })?;
        let mut named = told(settings)?;
        named.iter_mut().for_each(|(name, _)| {
            if !name.starts_with("server") {
                name.insert_str(0, "server_");
            }
        });
        let config = config.or_else(|| shared.sources().config.clone());
        let sources =
            Sources { config, environment: shared.sources().environment, told: named, ..Sources::default() };
        let application = Application::new(&sources).and_then(|application| application.server_config());
        let mut config = application.map_err(|trouble| failures::of_settings(py, &trouble))?;
        (config.listen, config.open) = (address, open);
        let trail = shared.opened(py)?.trail.clone();
        let dir = shared.dir().to_owned();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("trailseal-http")
            .enable_all()
            .build()?;
        let bound = py.detach(|| runtime.block_on(trailseal_server::Server::bind(trail, dir, config)));
        let bound = match bound {
            Ok(bound) => bound,
            Err(error) => {
                runtime.shutdown_background();
                return Err(failures::exception(py, "OpenError", failures::with_causes(&error)));
            }
        };
        let (url, address) = (bound.url(), bound.address());
        let first_token = bound.first_token().map(str::to_owned);
        let (stop, stopped) = channel();
        let done = runtime.spawn(async move {
            // Also when the sender is dropped.
            bound.run(async { stopped.await.unwrap_or_default() }).await;
        });
        let running = Mutex::new(Some(Running { runtime, stop, done }));
        Ok(Server { url, address, first_token, fork: fork::generation(), running })
    }

    fn take(&self) -> Option<Running> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.fork != fork::generation() {
            // Its threads are the parent's.
            std::mem::forget(running);
            return None;
        }
        running
    }
}

#[pymethods]
impl Server {
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    #[getter]
    fn address(&self) -> (String, u16) {
        (self.address.ip().to_string(), self.address.port())
    }

    #[getter]
    fn first_token(&self) -> Option<&str> {
        self.first_token.as_deref()
    }

    /// Answers what is being answered, and stops.
    #[pyo3(signature = (timeout = 10.0))]
    fn stop(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        let timeout = Duration::try_from_secs_f64(timeout)
            .map_err(|_| PyValueError::new_err("timeout is a number of seconds"))?;
        let Some(Running { runtime, stop, done }) = self.take() else { return Ok(()) };
        py.detach(|| {
            let _ = stop.send(());
            let _ = runtime.block_on(async { tokio::time::timeout(timeout, done).await });
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.stop(py, 10.0)
    }

    fn __repr__(&self) -> String {
        format!("<trailseal.Server {}>", self.url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(Running { runtime, .. }) = self.take() {
            runtime.shutdown_background();
        }
    }
}
