//! The socket in the trail's folder, for commands beside a running server. Only the folder's owner can open it, so it
//! needs no token.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::net::{UnixListener, UnixStream};

use super::SocketPath;

/// A listener whose file is removed on drop.
pub(crate) struct Socket {
    listener: UnixListener,
    path: SocketPath,
}

impl Socket {
    /// Listens in the trail's folder. The caller holds the trail's lock, so an existing file is a leftover.
    pub(crate) fn bind(folder: &Path) -> io::Result<Socket> {
        let path = SocketPath::in_folder(folder)?;
        match std::fs::remove_file(path.as_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path.as_path())?;
        std::fs::set_permissions(path.as_path(), std::fs::Permissions::from_mode(0o600))?;
        Ok(Socket { listener, path })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path.as_path());
    }
}

/// The next connection; never resolves without a socket.
pub(super) async fn accept(socket: Option<&Socket>) -> io::Result<UnixStream> {
    match socket {
        Some(socket) => socket.listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}
