//! The socket: made private, taken over from systemd, or over from a server that is gone; only its owner is listened to.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

/// Pause after the system refused to accept a connection, so that a lack of descriptors is not made worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Returns where the server of a data folder listens.
pub fn socket_path(data_folder: &Path) -> PathBuf {
    data_folder.join("runtime.sock")
}

/// The socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its path is longer than the system allows.
    #[error("the path {} is too long for a socket ({} bytes, about 100 are possible)", path.display(), path.as_os_str().len())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// What systemd handed over is not a Unix socket that listens.
    #[error("the socket that was handed over cannot be used")]
    HandedOver(#[source] std::io::Error),
    /// The system refused.
    #[error("cannot listen on {}", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

/// A socket that listens, and hears only its owner and root.
pub struct Listener {
    socket: UnixListener,
    /// Removed at the end; `None` for a socket of systemd's, which stays.
    path: Option<PathBuf>,
}

/// Listens on the socket that systemd handed over, if there is one, else on `path` with mode 0600.
///
/// A socket that is there already belongs to a server that is gone: the caller holds the data folder's lock. Must be called inside a tokio
/// runtime.
///
/// # Errors
/// [`BindError`].
pub fn bind(path: &Path) -> Result<Listener, BindError> {
    let handed_over = listenfd::ListenFd::from_env().take_unix_listener(0).map_err(BindError::HandedOver)?;
    if let Some(socket) = handed_over {
        let socket = socket.set_nonblocking(true).and_then(|()| UnixListener::from_std(socket));
        return Ok(Listener { socket: socket.map_err(BindError::HandedOver)?, path: None });
    }
    let refused = |source| BindError::Refused { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    let socket = UnixListener::bind(path).map_err(|source| match source.kind() {
        ErrorKind::InvalidInput => BindError::TooLong { path: path.to_owned() },
        _ => refused(source),
    })?;
    // The folder is private already; whoever connects in between is asked who they are.
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(refused)?;
    Ok(Listener { socket, path: Some(path.to_owned()) })
}

impl axum::serve::Listener for Listener {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.socket.accept().await {
                Ok((stream, address)) if is_welcome(&stream) => return (stream, address),
                Ok(_) => tracing::warn!("another user tried to connect"),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.socket.local_addr()
    }
}

/// Who is at the other end of a connection, as the system knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user id.
    pub uid: u32,
}

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        // It was asked when it was accepted, and who has gone since gets no answer anyway.
        let uid = stream.io().peer_cred().map_or(u32::MAX, |peer| peer.uid());
        Self { uid }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // The next server removes what is left.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Tells whether the other end is the user that the server runs as, or root.
fn is_welcome(stream: &UnixStream) -> bool {
    let mine = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == mine || peer.uid() == 0)
}

/// Tells systemd, if it started this process, that commands are served now.
pub fn notify_ready(status: &str) {
    notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(status)]);
}

/// Tells systemd, if it started this process, that the server ends.
pub fn notify_stopping() {
    notify(&[sd_notify::NotifyState::Stopping]);
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    // Without systemd this does nothing.
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
