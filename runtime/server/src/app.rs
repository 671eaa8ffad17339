//! Takes commands from the socket, and ends in order.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::future::{BoxFuture, LocalBoxFuture};
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::{mpsc, watch};

use crate::listen::{Listener, Peer};
use crate::protocol::{About, CommandRequest, Frame, REQUEST_BYTES_MAX, Refusal};
use crate::threads::Threads;

/// Bytes that a reader may leave unread.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Runs commands.
pub trait Runner: Send + Sync + 'static {
    /// Returns how to run one command, which prints into `frames`. When it is interrupted it ends soon, in order.
    fn prepare(self: Arc<Self>, peer: Peer, request: CommandRequest, frames: Frames, interrupts: Interrupts) -> Work;

    /// Returns the exit code of a command that panicked.
    fn code_of_panic(&self) -> u8;
}

/// A command that is about to run; what it resolves to is its exit code. It is dropped when whoever asked has gone, and when a server
/// that ends has waited long enough.
pub enum Work {
    /// It shares a thread with others, until it keeps that busy for long.
    Shared(BoxFuture<'static, u8>),
    /// It may block, and gets a thread of its own, as it has it where there is no server.
    Alone(Box<dyn FnOnce() -> LocalBoxFuture<'static, u8> + Send>),
}

/// Where a command prints. Clones print to the same place.
#[derive(Clone)]
pub struct Frames {
    sender: mpsc::UnboundedSender<Frame>,
    /// Bytes that wait for the reader.
    waiting: Arc<AtomicUsize>,
}

/// Nobody reads any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads what the command prints")]
pub struct FramesClosed;

impl Frames {
    /// Makes a place to print to, and what is read from it.
    fn new() -> (Self, impl Stream<Item = Frame>) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let frames = Self { sender, waiting: waiting.clone() };
        let read =
            futures::stream::poll_fn(move |context| receiver.poll_recv(context)).inspect(move |frame: &Frame| {
                waiting.fetch_sub(frame.len(), Ordering::Relaxed);
            });
        (frames, read)
    }

    /// Prints. Never waits; a reader that is slow for too long is as good as gone.
    ///
    /// # Errors
    /// [`FramesClosed`] once the reader has gone, or leaves 64 MiB unread.
    pub fn print(&self, frame: Frame) -> Result<(), FramesClosed> {
        if self.waiting.fetch_add(frame.len(), Ordering::Relaxed) > WAITING_BYTES_MAX {
            return Err(FramesClosed);
        }
        self.sender.send(frame).map_err(|_| FramesClosed)
    }
}

/// Hears that a command is to end.
#[derive(Clone)]
pub struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// Waits for the next interrupt. Cancel safe.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // The command is forgotten: there are no more.
            std::future::pending::<()>().await;
        }
    }
}

/// How a server is run.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Version that is told to those who ask.
    pub version: String,
    /// How long commands may go on after the server was told to end.
    pub drain: Duration,
}

struct App {
    runner: Arc<dyn Runner>,
    version: String,
    running: Mutex<HashMap<String, watch::Sender<u32>>>,
    threads: Threads,
}

/// Serves commands until `ended` resolves; then takes no more, and gives those under way `drain` to end. After that they are
/// interrupted, and dropped a moment later.
///
/// # Errors
/// The system's error if connections can no longer be served.
pub async fn serve(
    listener: Listener,
    runner: Arc<dyn Runner>,
    options: ServeOptions,
    ended: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app = Arc::new(App { runner, version: options.version, running: Mutex::default(), threads: Threads::new() });
    let router = Router::new()
        .route("/v1/about", get(about))
        .route("/v1/command", post(command))
        .route("/v1/command/{id}/interrupt", post(interrupt))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(app.clone());
    let (told, mut end) = watch::channel(false);
    let server = axum::serve(listener, router.into_make_service_with_connect_info::<Peer>()).with_graceful_shutdown(
        async move {
            ended.await;
            told.send_replace(true);
        },
    );
    let drained = async {
        // The sender lives as long as the server.
        let _ = end.wait_for(|ended| *ended).await;
        tokio::time::sleep(options.drain).await;
        app.interrupt_all();
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        served = server.into_future() => served,
        () = drained => Ok(()),
    }
}

impl App {
    fn begin(&self, id: &str) -> Interrupts {
        let (sender, receiver) = watch::channel(0);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), sender);
        Interrupts(receiver)
    }

    fn end(&self, id: &str) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn interrupt_all(&self) {
        for command in self.running.lock().unwrap_or_else(PoisonError::into_inner).values() {
            command.send_modify(|count| *count += 1);
        }
    }
}

async fn about(State(app): State<Arc<App>>) -> Json<About> {
    Json(About { version: app.version.clone(), pid: std::process::id() })
}

async fn interrupt(State(app): State<Arc<App>>, Path(id): Path<String>) -> StatusCode {
    match app.running.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
        Some(command) => {
            command.send_modify(|count| *count += 1);
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}

async fn command(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<CommandRequest>,
) -> Response {
    if request.version != app.version {
        let error = format!("the server is version {}, the command {}", app.version, request.version);
        return (StatusCode::CONFLICT, Json(Refusal { error })).into_response();
    }
    let (frames, printed) = Frames::new();
    let (id, sender) = (request.id.clone(), frames.sender.clone());
    let interrupts = app.begin(&id);
    match Arc::clone(&app.runner).prepare(peer, request, frames, interrupts) {
        Work::Shared(work) => {
            let threads = &Arc::clone(&app).threads;
            threads.share(Box::pin(run(app, id, sender, work)));
        }
        Work::Alone(work) => {
            let threads = &Arc::clone(&app).threads;
            threads.alone(move || run(app, id, sender, work()));
        }
    }
    let lines = printed.map(|frame| {
        let mut line = serde_json::to_vec(&frame).unwrap_or_default();
        line.push(b'\n');
        Ok::<_, Infallible>(Bytes::from(line))
    });
    ([("content-type", "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// Runs a command and says how it ended. A reader that goes away ends it.
async fn run(app: Arc<App>, id: String, frames: mpsc::UnboundedSender<Frame>, work: impl Future<Output = u8>) {
    // What a command leaves behind that panics is what it shares with others, which takes care of that itself.
    let work = AssertUnwindSafe(work).catch_unwind();
    let code = tokio::select! {
        code = work => Some(code.unwrap_or_else(|_| app.runner.code_of_panic())),
        () = frames.closed() => None,
    };
    app.end(&id);
    if let Some(code) = code {
        // Whoever asked may have gone in the last moment.
        let _ = frames.send(Frame::Exit(code));
    }
}
