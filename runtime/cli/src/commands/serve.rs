use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use embed::ScrubOptions;
use serde::Serialize;
use server::{Listener, ServeOptions};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::allocator;
use crate::args::duration;
use crate::error::{CliError, Done};
use crate::interrupt::Signals;
use crate::output::plural;
use crate::serving::{Audience, Verbs};
use crate::session::Session;

/// Keep the registry live, for other commands to use
///
/// Brings back what was active, keeps instances between calls, and listens on `runtime.sock` in the data folder: every other command
/// finds it there and runs in it. Ctrl-C and SIGTERM let commands under way end, then components, in order. What happens is logged on
/// standard error; RUNTIME_LOG chooses how much (`warn`, `info`, `debug`, or directives such as `registry=debug`).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime serve
  runtime --data /var/lib/runtime serve --log-format json
  systemd-run --user --property Type=notify runtime serve")]
pub(crate) struct Args {
    /// How long commands under way may go on once the server is told to end
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) drain: Duration,

    /// How much of the components' bytes is read in a second to find damage early, or `off`
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = rate)]
    pub(crate) scrub: Rate,

    /// Folder made by `runtime backup`, from which damaged bytes are mended
    #[arg(long, value_name = "DIR")]
    pub(crate) scrub_backup: Option<PathBuf>,

    /// How the log is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) log_format: LogFormat,
}

/// Bytes in a second; `None` for not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(Option<u64>);

fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "off" => Ok(Rate(None)),
        _ => domain::units::parse_size(text).map(|bytes| Rate(Some(bytes))).map_err(|error| error.to_string()),
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON document for each line.
    Json,
}

#[derive(Debug, Serialize)]
struct ServingDoc {
    folder: String,
    socket: String,
    pid: u32,
    live: usize,
    failed: usize,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    log_to_stderr(session, args.log_format)?;
    let folder = session.data_folder()?;
    let audience = Arc::new(Audience::default());
    // Said now, not when the first damage is found.
    if let Some(folder) =
        args.scrub_backup.as_ref().filter(|folder| !session.path(folder).join("manifest.json").is_file())
    {
        let message = format!(
            "{} is no folder made by `runtime backup`",
            domain::text::escape_line(&folder.display().to_string())
        );
        return Err(CliError::usage(message));
    }
    let scrub = args.scrub.0.map(|bytes_per_second| ScrubOptions {
        bytes_per_second,
        backup: args.scrub_backup.as_ref().map(|folder| session.path(folder)),
        ..ScrubOptions::default()
    });
    let registry = session.open_to_serve(&audience, scrub).await?;
    let served = serve(session, &args, &folder, &audience).await;
    info!("components end");
    let closed = registry.close().await;
    served?;
    closed?;
    info!("closed");
    Ok(Done::All)
}

async fn serve(session: &Session, args: &Args, folder: &Path, audience: &Arc<Audience>) -> Result<(), CliError> {
    let registry = session.registry().await?;
    let socket = server::socket_path(folder);
    // Whoever connects from now on waits until everything is live.
    let listener: Listener = server::bind(&socket)?;
    let mut signals = Signals::new().map_err(|e| CliError::internal(format!("cannot listen to signals: {e}")))?;
    let resumed = tokio::select! {
        resumed = registry.resume() => resumed?,
        interrupt = signals.next() => {
            info!(?interrupt, "told to end before everything was live");
            return Ok(());
        }
    };
    allocator::give_back_in_background();
    for (id, error) in &resumed.failed {
        warn!(component = %id, error = %domain::text::escape_line(&error.to_string()), "could not be brought back");
    }
    let document = ServingDoc {
        folder: folder.display().to_string(),
        socket: socket.display().to_string(),
        pid: std::process::id(),
        live: resumed.activated.len(),
        failed: resumed.failed.len(),
    };
    info!(socket = %document.socket, live = document.live, failed = document.failed, "serving");
    server::notify_ready(&format!("{} live", plural(document.live, "component")));
    session.out.line(&document, |_| {
        let live = plural(document.live, "component");
        format!("serving {} with {live} live; Ctrl-C ends it", domain::text::escape_line(&document.folder))
    })?;
    let (end, ending) = watch::channel(false);
    let verbs = Verbs { registry: registry.clone(), audience: audience.clone(), ending: ending.clone() };
    let options = ServeOptions { version: env!("CARGO_PKG_VERSION").to_owned(), drain: args.drain };
    let told = async move {
        let mut ending = ending;
        // The sender lives until the server has ended.
        let _ = ending.wait_for(|ending| *ending).await;
    };
    let serving = server::serve(listener, Arc::new(verbs), options, told);
    tokio::pin!(serving);
    let failed = |error: std::io::Error| CliError::internal(format!("the server failed: {error}"));
    tokio::select! {
        served = &mut serving => return served.map_err(failed),
        interrupt = signals.next() => info!(?interrupt, "ending"),
    }
    server::notify_stopping();
    end.send_replace(true);
    tokio::select! {
        served = &mut serving => served.map_err(failed),
        again = signals.next() => {
            warn!(interrupt = ?again, "commands under way are broken off");
            Ok(())
        }
    }
}

/// Writes the log of this process on standard error.
fn log_to_stderr(session: &Session, format: LogFormat) -> Result<(), CliError> {
    use tracing_subscriber::EnvFilter;
    let wanted = std::env::var("RUNTIME_LOG").ok().filter(|words| !words.is_empty());
    let default = if session.terminal.is_quiet() { "warn" } else { "info" };
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(default))
        .map_err(|error| CliError::usage(format!("RUNTIME_LOG cannot be understood: {error}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match format {
        LogFormat::Text => log.with_ansi(session.terminal.paint().is_on()).with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    set.map_err(|error| CliError::internal(format!("the log cannot be set up: {error}")))
}
