//! Finds a server and has it run a command.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::protocol::{CommandRequest, Frame, Refusal};

/// Longest text of an error that is taken from a server, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// A connection to a server.
pub struct Client {
    path: PathBuf,
    sender: SendRequest<Full<Bytes>>,
}

/// A server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Its socket is there, but this user may not connect.
    #[error("the server of this data folder belongs to another user ({})", path.display())]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// It refused the command.
    #[error("{0}")]
    Refused(String),
    /// It is of another version.
    #[error("{0}")]
    OtherVersion(String),
    /// It ended, or the connection broke, before the command was over.
    #[error("the server went away before the command was over: {0}")]
    Lost(String),
}

impl Client {
    /// Connects to the server that listens at `path`; `None` if there is none.
    ///
    /// # Errors
    /// [`ClientError`] if there seems to be one that cannot be asked.
    pub async fn connect(path: &Path) -> Result<Option<Self>, ClientError> {
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(ClientError::Denied { path: path.to_owned() });
            }
            // No socket, or one that a server left behind; a folder that cannot be is found out by whoever opens it.
            Err(_) => return Ok(None),
        };
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| ClientError::Lost(error.to_string()))?;
        // Its end is met by the request that is under way.
        tokio::spawn(connection);
        Ok(Some(Self { path: path.to_owned(), sender }))
    }

    /// Has a command run, hands over what it prints, and returns its exit code.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn run(&mut self, request: &CommandRequest, mut print: impl FnMut(Frame)) -> Result<u8, ClientError> {
        let lost = |error: &dyn std::fmt::Display| ClientError::Lost(error.to_string());
        let body = serde_json::to_vec(request).map_err(|error| ClientError::Refused(error.to_string()))?;
        let mut response = post(&mut self.sender, "/v1/command", body).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        let mut waiting = Vec::new();
        while let Some(part) = response.body_mut().frame().await {
            let part = part.map_err(|error| lost(&error))?;
            let Some(bytes) = part.data_ref() else { continue };
            waiting.extend_from_slice(bytes);
            while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                match serde_json::from_slice(&line).map_err(|error| lost(&error))? {
                    Frame::Exit(code) => return Ok(code),
                    frame => print(frame),
                }
            }
        }
        Err(lost(&"its answer has no end"))
    }

    /// Returns what interrupts the command `id`, which runs on this connection, from another one.
    pub fn interrupter(&self, id: &str) -> impl Future<Output = ()> + Send + use<> {
        let (path, uri) = (self.path.clone(), format!("/v1/command/{id}/interrupt"));
        async move {
            if let Ok(Some(mut other)) = Self::connect(&path).await {
                // A command that is over, or a server that is gone, is met by whoever waits for the command.
                let _ = post(&mut other.sender, &uri, Vec::new()).await;
            }
        }
    }
}

async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    uri: &str,
    body: Vec<u8>,
) -> Result<Response<Incoming>, ClientError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header("host", "runtime")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| ClientError::Refused(error.to_string()))?;
    sender.send_request(request).await.map_err(|error| ClientError::Lost(error.to_string()))
}

async fn refusal(response: Response<Incoming>) -> ClientError {
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
    let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
    let said = match serde_json::from_slice::<Refusal>(&bytes) {
        Ok(refusal) => refusal.error,
        Err(_) => format!("the server refused the command ({status}): {}", String::from_utf8_lossy(&bytes).trim()),
    };
    if status == StatusCode::CONFLICT { ClientError::OtherVersion(said) } else { ClientError::Refused(said) }
}
