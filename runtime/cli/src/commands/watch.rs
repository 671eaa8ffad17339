use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::ports::Clock as _;
use domain::text::escape_line;
use serde_json::{Value, json};
use tokio::sync::Notify;
use watch::{Event, Outcome, RevisionName, WatchError, Watching};

use crate::args::duration;
use crate::error::{CliError, Done};
use crate::output::{human_duration, plural};
use crate::placing::Placing;
use crate::session::Session;
use crate::style::Paint;

/// How often is looked for changes, where nothing else is said.
const POLL: &str = "1s";
/// Looking more often would be all that is done.
const POLL_MIN: Duration = Duration::from_millis(10);

/// Build and put in service what changes, as it changes
///
/// Components with a `[build]` command are built where a source has other content than before, then registered and activated: the new
/// revision takes the place of the old one while that is called. The same, without building, for a changed component or
/// `component.toml`. What cannot be built, would break others or is not well leaves the old one in service. New folders are found. Goes
/// on until Ctrl-C. Commands run as you, in the component's folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime watch components/
  runtime watch greeter/ log/ --grant-requested
  runtime watch components/ --once
  runtime watch /mnt/shared --poll=2s")]
pub(crate) struct Args {
    /// Folders with `component.toml`, folders of such, or components
    #[arg(required = true, value_name = "DIR")]
    pub(crate) paths: Vec<PathBuf>,

    /// Build, register and activate what is there, and end
    #[arg(long)]
    pub(crate) once: bool,

    /// Register also what breaks active components
    #[arg(long)]
    pub(crate) force: bool,

    /// Grant all that the components' manifests ask for
    #[arg(long)]
    pub(crate) grant_requested: bool,

    /// How long nothing may change before something is done
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration)]
    pub(crate) debounce: Duration,

    /// Look for changes every TIME (1s) instead of being told by the system, as is needed for network folders
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = POLL, value_parser = poll_time)]
    pub(crate) poll: Option<Duration>,

    /// Longest time of one build
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub(crate) build_timeout: Duration,
}

fn poll_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time < POLL_MIN => Err(format!("at least {} ms have to lie between two looks", POLL_MIN.as_millis())),
        time => Ok(time),
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    crate::allocator::give_back_in_background();
    let options = watch::Options {
        debounce: args.debounce,
        poll: args.poll,
        build_timeout: args.build_timeout,
        once: args.once,
        ..watch::Options::default()
    };
    let service = Placing { session, force: args.force, grant_requested: args.grant_requested };
    let unread = Arc::new(Notify::new());
    let mut unprinted = None;
    let teller = Teller { session };
    let watching = watch::watch(&args.paths, &service, &options, |event| match teller.tell(&event) {
        Ok(true) => {}
        Ok(false) => unread.notify_one(),
        Err(error) => {
            unprinted.get_or_insert(error);
            unread.notify_one();
        }
    });
    let ended = tokio::select! {
        ended = watching => Some(ended),
        // A reader that went away has seen enough.
        () = unread.notified() => None,
    };
    match (unprinted, ended) {
        (Some(error), _) => Err(error),
        (None, None) => Ok(Done::All),
        (None, Some(Ok(summary))) => Ok(summary.failed.map_or(Done::All, Done::Partly)),
        (None, Some(Err(WatchError::Service(error)))) => Err(error),
        (None, Some(Err(WatchError::Folder { source, .. }))) => Err((*source).into()),
        (None, Some(Err(error @ (WatchError::Changes(_) | WatchError::Internal(_))))) => {
            Err(CliError::internal(error.to_string()))
        }
    }
}

/// Prints what happens: a line each, or a document each.
struct Teller<'a> {
    session: &'a Session,
}

impl Teller<'_> {
    /// Prints an event; `false` once nobody reads any more.
    fn tell(&self, event: &Event<'_, CliError>) -> Result<bool, CliError> {
        let now = embed::SystemClock.now().to_string();
        if self.session.out.is_json() {
            let mut document = document(event);
            if let Value::Object(fields) = &mut document {
                fields.insert("at".to_owned(), Value::String(now));
            }
            return self.session.out.line(&document, |_| String::new());
        }
        // The day is known to whoever watches.
        let time = now.get(11..19).unwrap_or(&now);
        let reads = match said(event, self.session.out.paint()) {
            Some((name, what)) => self.session.out.line(&(), |paint| {
                let name = name.map(|name| format!(" {}", paint.bold(&escape_line(name)))).unwrap_or_default();
                format!("{}{name} {what}", paint.dim(time))
            })?,
            None => true,
        };
        self.tell_aside(event);
        Ok(reads)
    }

    /// Prints on standard error what is not the event itself: what builds print, reports, hints, warnings.
    fn tell_aside(&self, event: &Event<'_, CliError>) {
        let terminal = &self.session.terminal;
        let line = |name: &str, line: &str| {
            terminal.print(&format!("{} | {}\n", terminal.paint().dim(&escape_line(name)), escape_line(line)));
        };
        match event {
            Event::Output { name, line: text } if !terminal.is_quiet() => line(name, text),
            // Otherwise they have been seen.
            Event::BuildFailed { name, output, .. } if terminal.is_quiet() => {
                output.iter().for_each(|text| line(name, text));
            }
            Event::Placed { outcome: Outcome::Refused(problem) | Outcome::NotActivated { problem, .. }, .. } => {
                problem.print_more(terminal);
            }
            Event::Placed {
                outcome: Outcome::Activated { warnings, .. } | Outcome::Swapped { warnings, .. }, ..
            } => {
                warnings.iter().for_each(|warning| terminal.warn(warning));
            }
            Event::Unreachable { problem, .. } => problem.print_more(terminal),
            Event::Warning { name, text } => {
                let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
                terminal.warn(&format!("{name}{text}"));
            }
            _ => {}
        }
    }
}

/// Says an event in a line: the component it is about, and what happened. `None` if it is told elsewhere.
fn said<'a>(event: &'a Event<'_, CliError>, paint: Paint) -> Option<(Option<&'a str>, String)> {
    let (name, what) = match event {
        Event::Watching(watching) => return Some((None, watching_text(watching))),
        Event::Found { name, path } => (name, format!("found in {}", escape_line(&path.display().to_string()))),
        Event::Building { name, command } => (name, format!("building: {}", escape_line(command))),
        Event::BrokenOff { name } => (name, "building anew: its sources have changed again".to_owned()),
        Event::Built { name, took } => (name, format!("built in {}", human_duration(*took))),
        Event::BuildFailed { name, failure, kept, .. } => {
            let failure = escape_line(&failure.to_string()).into_owned();
            (name, format!("{}: the build failed: {failure}", paint.red(&kept_text(*kept))))
        }
        Event::SameBytes { name, revision } => {
            (name, format!("unchanged{}", revision.map(text_of).unwrap_or_default()))
        }
        Event::Placed { name, outcome, before } => (name, placed_text(outcome, *before, paint)),
        Event::Unreachable { problem, retry_in } => {
            let why = escape_line(&problem.message);
            return Some((None, format!("{why}; tried again in {}", human_duration(*retry_in))));
        }
        Event::Removed { name, path } => {
            let path = path.display().to_string();
            (name, format!("removed: {} is gone; in the registry it stays as it is", escape_line(&path)))
        }
        _ => return None,
    };
    Some((Some(name), what))
}

fn watching_text(watching: &Watching) -> String {
    let paths: Vec<_> = watching.paths.iter().map(|path| path.display().to_string()).collect();
    let polls = watching.polls.map(|every| format!(", looking every {}", human_duration(every))).unwrap_or_default();
    let components = plural(watching.components, "component");
    format!("watching {components} in {}{polls}", escape_line(&paths.join(", ")))
}

fn placed_text(outcome: &Outcome<CliError>, before: Option<&RevisionName>, paint: Paint) -> String {
    match outcome {
        Outcome::Unchanged(revision) => format!("unchanged{}", text_of(revision)),
        Outcome::Activated { revision, took, .. } => {
            format!("{}{} in {}", paint.green("activated"), text_of(revision), human_duration(*took))
        }
        Outcome::Swapped { revision, from: (version, number), took, .. } => {
            let to = if revision.version == *version { String::new() } else { format!("{} ", revision.version) };
            let took = human_duration(*took);
            format!("{} {version} r{number} → {to}r{} in {took}", paint.green("swapped"), revision.number)
        }
        Outcome::NotActivated { revision, problem, .. } => {
            let why = escape_line(&problem.message).into_owned();
            format!("{}: r{} did not come into service: {why}", paint.red(&kept_text(before)), revision.number)
        }
        Outcome::Skipped { revision, because } => {
            format!("{}: r{} needs {because}", paint.yellow(&kept_text(before)), revision.number)
        }
        Outcome::Refused(problem) => {
            format!("{}: {}", paint.red(&kept_text(before)), escape_line(&problem.message))
        }
    }
}

/// Says what stays in service.
fn kept_text(kept: Option<&RevisionName>) -> String {
    kept.map_or_else(|| "not in service".to_owned(), |kept| format!("kept{}", text_of(kept)))
}

fn text_of(revision: &RevisionName) -> String {
    format!(" {} r{}", revision.version, revision.number)
}

/// Says an event to a script.
fn document(event: &Event<'_, CliError>) -> Value {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    match event {
        Event::Watching(watching) => json!({
            "event": "watching", "components": watching.components, "paths": watching.paths.iter().map(shown).collect::<Vec<_>>(),
            "poll_ms": watching.polls.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX)),
        }),
        Event::Found { name, path } => json!({ "event": "found", "component": name, "path": shown(path) }),
        Event::Building { name, command } => json!({ "event": "building", "component": name, "command": command }),
        Event::Output { name, line } => json!({ "event": "output", "component": name, "line": line }),
        Event::BrokenOff { name } => json!({ "event": "broken-off", "component": name }),
        Event::Built { name, took } => json!({ "event": "built", "component": name, "duration_us": micros(*took) }),
        Event::BuildFailed { name, failure, took, output, kept } => json!({
            "event": "build-failed", "component": name, "message": failure.to_string(), "duration_us": micros(*took),
            "output": output, "kept": kept.map(revision),
        }),
        Event::SameBytes { name, revision: known } => {
            with_revision(json!({ "event": "unchanged", "component": name }), *known)
        }
        Event::Placed { name, outcome, before } => placed_document(name, outcome, *before),
        Event::Unreachable { problem, retry_in } => {
            json!({ "event": "unreachable", "error": problem, "retry_us": micros(*retry_in) })
        }
        Event::Removed { name, path } => json!({ "event": "removed", "component": name, "path": shown(path) }),
        Event::Warning { name, text } => json!({ "event": "warning", "component": name, "message": text }),
        // A newer library may tell more than this program knows.
        _ => json!({ "event": "other" }),
    }
}

fn placed_document(name: &str, outcome: &Outcome<CliError>, before: Option<&RevisionName>) -> Value {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let document = match outcome {
        Outcome::Unchanged(_) => json!({ "event": "unchanged", "component": name }),
        Outcome::Activated { took, warnings, .. } => json!({
            "event": "activated", "component": name, "duration_us": micros(*took), "warnings": warnings,
        }),
        Outcome::Swapped { from: (version, number), took, warnings, .. } => json!({
            "event": "swapped", "component": name, "from": version.to_string(), "from_revision": number,
            "duration_us": micros(*took), "warnings": warnings,
        }),
        Outcome::NotActivated { problem, warnings, .. } => json!({
            "event": "not-activated", "component": name, "error": problem, "kept": before.map(revision), "warnings": warnings,
        }),
        Outcome::Skipped { because, .. } => json!({
            "event": "skipped", "component": name, "because": because, "kept": before.map(revision),
        }),
        Outcome::Refused(problem) => json!({
            "event": "refused", "component": name, "error": problem, "kept": before.map(revision),
        }),
    };
    with_revision(document, outcome.revision())
}

fn with_revision(mut document: Value, known: Option<&RevisionName>) -> Value {
    if let (Value::Object(fields), Some(known)) = (&mut document, known) {
        fields.insert("version".to_owned(), json!(known.version.to_string()));
        fields.insert("revision".to_owned(), json!(known.number));
    }
    document
}

/// A path as text: JSON has no other bytes.
fn shown(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn revision(revision: &RevisionName) -> Value {
    json!({ "version": revision.version.to_string(), "revision": revision.number })
}
