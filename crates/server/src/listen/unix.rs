//! The socket in the trail's folder: for commands beside a running server. Only its owner can open it, so it needs no
//! token.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The longest path that a socket can have.
const PATH_BYTES_MAX: usize = 107;

/// A listener whose file goes when it is dropped.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens in the trail's folder. The caller holds the trail's lock, so a file that is there is left over.
    pub(crate) fn bind(folder: &Path) -> io::Result<Socket> {
        let path = folder.join("socket");
        if path.as_os_str().len() > PATH_BYTES_MAX {
            let what = format!("its path has more than {PATH_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Socket { listener, path })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The next connection; never any without a socket.
pub(super) async fn accept(socket: Option<&Socket>) -> io::Result<UnixStream> {
    match socket {
        Some(socket) => socket.listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}
