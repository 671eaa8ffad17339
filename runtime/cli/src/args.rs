//! What can be typed: options that every verb has, and the verbs.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::error::{CliError, EXIT_INVALID, EXIT_OK};
use crate::groups::with_groups;
use crate::output::{Format, Output};
use crate::screen::Screen;
use crate::terminal::Terminal;

/// How long another process is waited for that holds the data folder.
const LOCK_TIMEOUT: &str = "10s";

/// Registry and sandbox for WebAssembly components
#[derive(Debug, Parser)]
#[command(name = "runtime", version, disable_help_subcommand = false, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every verb has.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Globals {
    /// Work as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true, display_order = 100)]
    pub(crate) directory: Option<PathBuf>,

    /// Data folder [env: RUNTIME_DATA]
    #[arg(long, value_name = "DIR", global = true, display_order = 101)]
    pub(crate) data: Option<PathBuf>,

    /// Print the result as text, or as one JSON document
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        global = true,
        display_order = 102,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub(crate) output: Format,

    /// The same as `-o json`
    #[arg(long, global = true, display_order = 103)]
    pub(crate) json: bool,

    /// Print errors and results alone
    #[arg(short, long, global = true, display_order = 104, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Print timings, and the causes of errors
    #[arg(short, long, global = true, display_order = 105)]
    pub(crate) verbose: bool,

    /// Longest wait for a busy data folder [default: 10s]
    #[arg(
        long,
        value_name = "TIME",
        default_value = LOCK_TIMEOUT,
        hide_default_value = true,
        value_parser = duration,
        global = true,
        display_order = 106
    )]
    pub(crate) lock_timeout: Duration,
}

impl Globals {
    /// Returns how results are printed.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Register(commands::register::Args),
    Scan(commands::scan::Args),
    Inspect(commands::inspect::Args),
    Unregister(commands::unregister::Args),
    List(commands::list::Args),
    Show(commands::show::Args),
    Wit(commands::wit::Args),
    Versions(commands::versions::Args),
    Diff(commands::diff::Args),
    Plan(commands::plan::Args),
    Activate(commands::activate::Args),
    Call(commands::call::Args),
    Use(commands::use_revision::Args),
    Rollback(commands::rollback::Args),
    Watch(commands::watch::Args),
    Deactivate(commands::deactivate::Args),
    Evict(commands::evict::Args),
    Logs(commands::logs::Args),
    Deps(commands::deps::Args),
    Dependents(commands::dependents::Args),
    Why(commands::why::Args),
    Impact(commands::impact::Args),
    Depend(commands::depend::Args),
    Undepend(commands::undepend::Args),
    Fuse(commands::fuse::Args),
    Unfuse(commands::unfuse::Args),
    Order(commands::order::Args),
    Cycles(commands::cycles::Args),
    Graph(commands::graph::Args),
    Status(commands::status::Args),
    Health(commands::health::Args),
    Stats(commands::stats::Args),
    Errors(commands::errors::Args),
    Log(commands::log::Args),
    Grant(commands::grant::Args),
    Revoke(commands::revoke::Args),
    Grants(commands::grants::Args),
    Policy(commands::policy::Args),
    Index(commands::index::Args),
    Settings(commands::settings::Args),
    Serve(commands::serve::Args),
    Backup(commands::backup::Args),
    Restore(commands::restore::Args),
    Gc(commands::gc::Args),
    Prune(commands::prune::Args),
    Export(commands::export::Args),
    Import(commands::import::Args),
    Verify(commands::verify::Args),
    Compact(commands::compact::Args),
    Repair(commands::repair::Args),
    Completions(commands::completions::Args),
}

impl Verb {
    /// Tells whether the verb may run several guests at once.
    pub(crate) fn runs_many_guests(&self) -> bool {
        match self {
            Self::Activate(args) => args.selection.is_many(),
            // One call is in one guest at a time.
            Self::Call(_) => false,
            Self::Use(_)
            | Self::Rollback(_)
            | Self::Watch(_)
            | Self::Deactivate(_)
            | Self::Status(_)
            | Self::Health(_)
            | Self::Serve(_) => true,
            Self::Register(args) => args.activate,
            Self::Scan(args) => args.activate,
            Self::Inspect(_)
            | Self::Unregister(_)
            | Self::List(_)
            | Self::Show(_)
            | Self::Wit(_)
            | Self::Versions(_)
            | Self::Diff(_)
            | Self::Plan(_)
            | Self::Evict(_)
            | Self::Logs(_)
            | Self::Deps(_)
            | Self::Dependents(_)
            | Self::Why(_)
            | Self::Impact(_)
            | Self::Depend(_)
            | Self::Undepend(_)
            | Self::Fuse(_)
            | Self::Unfuse(_)
            | Self::Order(_)
            | Self::Cycles(_)
            | Self::Graph(_)
            | Self::Stats(_)
            | Self::Errors(_)
            | Self::Log(_)
            | Self::Grant(_)
            | Self::Revoke(_)
            | Self::Grants(_)
            | Self::Policy(_)
            | Self::Index(_)
            | Self::Settings(_)
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Gc(_)
            | Self::Prune(_)
            | Self::Export(_)
            | Self::Import(_)
            | Self::Verify(_)
            | Self::Compact(_)
            | Self::Repair(_)
            | Self::Completions(_) => false,
        }
    }

    /// Tells whether the verb is run by the process that has the registry open. `watch` asks that one only for what it cannot do itself:
    /// commands that build components run as those who watch, with their environment.
    pub(crate) fn can_be_served(&self) -> bool {
        !matches!(self, Self::Serve(_) | Self::Watch(_) | Self::Restore(_) | Self::Repair(_) | Self::Completions(_))
    }

    /// Tells whether guests may run, so that what they print is shown.
    pub(crate) fn runs_guests(&self) -> bool {
        self.runs_many_guests()
            || matches!(self, Self::Activate(_) | Self::Call(_) | Self::Evict(_) | Self::Unregister(_))
            // A live instance ends where its grants change, or what it is made of.
            || matches!(self, Self::Grant(_) | Self::Revoke(_) | Self::Fuse(_) | Self::Unfuse(_))
    }

    /// Tells whether the verb reads what is piped into it.
    pub(crate) fn reads_input(&self) -> bool {
        matches!(self, Self::Status(args) if args.set_from.as_deref() == Some(std::path::Path::new("-")))
    }

    /// Tells whether the verb prints a stream that ends when its reader or Ctrl-C ends it.
    pub(crate) fn streams(&self) -> bool {
        match self {
            Self::Log(_) | Self::Watch(_) => true,
            Self::Logs(args) => args.follow,
            _ => false,
        }
    }
}

/// Returns the whole command line as clap knows it.
pub(crate) fn command() -> clap::Command {
    with_groups(Args::command()).bin_name("runtime")
}

/// Reads the process's arguments.
///
/// # Errors
/// The exit code, after help, version or the error was printed.
pub(crate) fn parse() -> Result<Args, u8> {
    let words: Vec<OsString> = std::env::args_os().collect();
    if words.len() < 2 {
        // A closed standard error is nobody's loss.
        let _ = write!(std::io::stderr(), "{}", command().render_help());
        return Err(EXIT_INVALID);
    }
    parse_words(&words).map_err(|error| {
        if !error.use_stderr() {
            // Help and version, always as text; a reader that went away has seen enough.
            let _ = error.print();
            EXIT_OK
        } else if wants_json(&words) {
            let screen = Screen::of_process();
            usage_error(&error).report(&Output::new(Format::Json, screen.clone()), &Terminal::new(true, false, screen));
            EXIT_INVALID
        } else {
            let _ = error.print();
            EXIT_INVALID
        }
    })
}

/// Reads the words of a command line, the program's name first.
///
/// # Errors
/// clap's, which is also how help and version are asked for.
pub(crate) fn parse_words(words: &[OsString]) -> Result<Args, clap::Error> {
    // Describing all verbs takes longer than a call: a server does it once.
    static COMMAND: LazyLock<Mutex<clap::Command>> = LazyLock::new(|| Mutex::new(command()));
    let matches = COMMAND.lock().unwrap_or_else(PoisonError::into_inner).try_get_matches_from_mut(words)?;
    Args::from_arg_matches(&matches)
}

/// Tells whether the words ask for JSON, although they could not be parsed as a whole.
fn wants_json(words: &[OsString]) -> bool {
    let words: Vec<_> =
        words.iter().skip(1).map(|word| word.to_string_lossy()).take_while(|word| word != "--").collect();
    words.iter().any(|word| matches!(word.as_ref(), "--json" | "-ojson" | "-o=json" | "--output=json"))
        || words
            .windows(2)
            .any(|pair| matches!(pair, [option, value] if (option == "-o" || option == "--output") && value == "json"))
}

/// Turns clap's error into the document that scripts read.
fn usage_error(error: &clap::Error) -> CliError {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.next().unwrap_or_default();
    let mut message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    let mut hints = Vec::new();
    let mut in_message = true;
    for line in lines {
        let line = line.trim();
        if line.is_empty() {
            in_message = false;
        } else if let Some(tip) = line.strip_prefix("tip: ") {
            hints.push(tip.to_owned());
        } else if line.starts_with("Usage: ") {
            hints.push(line.to_owned());
        } else if in_message {
            message.push(' ');
            message.push_str(line);
        }
    }
    let usage = CliError::usage(message);
    hints.into_iter().fold(usage, CliError::hint)
}

/// Reads a duration such as `5s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    domain::units::parse_duration(text).map_err(|e| e.to_string())
}

/// Reads the longest time of a call such as `500ms`; none at all is no call.
pub(crate) fn call_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("a call needs some time".to_owned()),
        time => Ok(time),
    }
}

/// Reads an amount of fuel, with or without `_` between digits.
pub(crate) fn fuel(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    match digits.parse() {
        Ok(0) => Err("a call needs some fuel".to_owned()),
        Ok(fuel) => Ok(fuel),
        Err(_) => Err(format!("`{}` is not a number of fuel units", domain::text::escape_line(text))),
    }
}

/// Reads `key=value`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn finds_the_wish_for_json_in_arguments_that_cannot_be_parsed() {
        let wants = |words: &[&str]| wants_json(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(wants(&["runtime", "lst", "--json"]) && wants(&["runtime", "-o", "json", "lst"]));
        assert!(wants(&["runtime", "list", "--output=json", "--nonsense"]));
        assert!(!wants(&["runtime", "lst"]) && !wants(&["runtime", "call", "x", "--", "--json"]));
    }

    #[test]
    fn a_usage_error_keeps_its_tip_and_usage_as_hints() {
        let error = command().try_get_matches_from(["runtime", "lst"]).unwrap_err();
        let document = usage_error(&error);
        assert_eq!(document.message, "unrecognized subcommand 'lst'");
        assert!(document.hints.iter().any(|hint| hint.contains("list")), "{:?}", document.hints);
    }

    #[test]
    fn reads_fuel_with_separators() {
        assert_eq!(fuel("1_000_000"), Ok(1_000_000));
        assert!(fuel("lots").is_err() && fuel("-1").is_err() && fuel("0").is_err());
    }

    #[test]
    fn a_call_without_any_time_is_refused() {
        assert_eq!(call_time("500ms"), Ok(Duration::from_millis(500)));
        assert!(call_time("0s").is_err());
    }
}
