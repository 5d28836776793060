//! TLS with rustls. The certificate's files are reloaded when they change, so a renewed certificate needs no restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls_pki_types::pem::{Error, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use trailseal_core::file::open_ordinary;

use crate::config::TlsFiles;

/// How often the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("could not read {what} from {}: it must be PEM", path.display())]
    Pem {
        /// The certificate or its key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Error,
    },
    /// Certificate and key do not match, or are of an unknown kind.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// Accepts TLS connections with the certificate currently in the files.
pub(crate) struct Acceptor {
    config: Arc<ArcSwap<ServerConfig>>,
    reloading: tokio::task::JoinHandle<()>,
}

impl Acceptor {
    pub(crate) fn new(files: TlsFiles) -> Result<Acceptor, TlsError> {
        let config = Arc::new(ArcSwap::from_pointee(load(&files)?));
        let reloading = tokio::spawn(reload(files, config.clone()));
        Ok(Acceptor { config, reloading })
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config.load_full()).accept(stream).await
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.reloading.abort();
    }
}

fn load(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let pem = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { what, path, source }
    };
    let open = |path: &Path| open_ordinary(path).map_err(Error::Io);
    let chain = open(&files.cert)
        .and_then(|file| CertificateDer::pem_reader_iter(file).collect::<Result<Vec<_>, _>>())
        .map_err(pem("the certificate", &files.cert))?;
    let key =
        open(&files.key).and_then(PrivateKeyDer::from_pem_reader).map_err(pem("the key", &files.key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Applies a changed certificate. If it cannot be used, that is logged and the old one stays.
async fn reload(files: TlsFiles, config: Arc<ArcSwap<ServerConfig>>) {
    let changed = |files: &TlsFiles| -> [Option<SystemTime>; 2] {
        [&files.cert, &files.key].map(|path| std::fs::metadata(path).and_then(|data| data.modified()).ok())
    };
    let mut seen = changed(&files);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = changed(&files);
        if now == seen {
            continue;
        }
        match load(&files) {
            Ok(new) => {
                config.store(Arc::new(new));
                seen = now;
                tracing::info!("a new certificate is in force");
            }
            Err(error) => tracing::warn!(error = %error, "the certificate has changed but cannot be used"),
        }
    }
}
