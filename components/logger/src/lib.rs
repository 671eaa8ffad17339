//! The log that the example components share: counts every message, passes on those that are grave enough.

use std::cell::RefCell;
use std::collections::BTreeMap;

wit_bindgen::generate!({
    path: "../wit",
    world: "logger",
    generate_all,
});

use exports::demo::logger::log::{Guest as Log, Level, Tally};
use exports::registry::component::lifecycle::Guest as Lifecycle;
use registry::host::environment;
use wasi::config::store;
use wasi::logging0_1_0_draft::logging;

/// The most callers that are told apart; messages of further ones are counted under [`OTHERS`].
const CALLERS_MAX: usize = 256;

/// The name under which callers beyond [`CALLERS_MAX`] are counted.
const OTHERS: &str = "others";

/// What this instance remembers. A component has one thread, so a `RefCell` is enough.
struct Journal {
    /// Messages below this level are counted only.
    threshold: Level,
    /// What every message begins with; empty by default.
    prefix: String,
    /// The counts so far.
    tally: Tally,
    /// Messages by caller; those from outside under an empty name.
    callers: BTreeMap<String, u64>,
}

thread_local! {
    static JOURNAL: RefCell<Journal> = const {
        RefCell::new(Journal {
            threshold: Level::Info,
            prefix: String::new(),
            tally: Tally { debug: 0, info: 0, warn: 0, error: 0, written: 0 },
            callers: BTreeMap::new(),
        })
    };
}

struct Logger;

impl Lifecycle for Logger {
    fn activate() -> Result<(), String> {
        let threshold = match setting("level")? {
            Some(word) => parse_level(&word)?,
            None => Level::Info,
        };
        let prefix = setting("prefix")?.unwrap_or_default();
        JOURNAL.with_borrow_mut(|journal| {
            journal.threshold = threshold;
            journal.prefix = prefix;
        });
        Ok(())
    }

    fn deactivate() -> Result<(), String> {
        let (wanted, tally) = JOURNAL.with_borrow(|journal| (journal.threshold == Level::Debug, journal.tally));
        if wanted {
            let seen = tally.debug + tally.info + tally.warn + tally.error;
            let text = format!("messages: {seen}, of which written: {}", tally.written);
            logging::log(logging::Level::Debug, "demo:logger", &text);
        }
        Ok(())
    }
}

impl Log for Logger {
    fn write(level: Level, topic: String, message: String) {
        let caller = environment::caller().unwrap_or_default();
        let line = JOURNAL.with_borrow_mut(|journal| journal.take(level, &caller, &message));
        // The host is called after the borrow has ended.
        if let Some(line) = line {
            logging::log(host_level(level), &place(&caller, &topic), &line);
        }
    }

    fn counts() -> Tally {
        JOURNAL.with_borrow(|journal| journal.tally)
    }

    fn callers() -> Vec<(String, u64)> {
        let mut callers: Vec<_> = JOURNAL.with_borrow(|journal| journal.callers.clone().into_iter().collect());
        callers.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
        callers
    }
}

impl Journal {
    /// Counts a message and returns the line to pass on, if it is grave enough.
    fn take(&mut self, level: Level, caller: &str, message: &str) -> Option<String> {
        let count = match level {
            Level::Debug => &mut self.tally.debug,
            Level::Info => &mut self.tally.info,
            Level::Warn => &mut self.tally.warn,
            Level::Error => &mut self.tally.error,
        };
        *count += 1;
        let known = self.callers.contains_key(caller);
        let name = if known || self.callers.len() < CALLERS_MAX { caller } else { OTHERS };
        *self.callers.entry(name.to_owned()).or_default() += 1;
        if level < self.threshold {
            return None;
        }
        self.tally.written += 1;
        Some(format!("{}{message}", self.prefix))
    }
}

/// Reads one value of this component's configuration.
fn setting(key: &str) -> Result<Option<String>, String> {
    store::get(key).map_err(|error| match error {
        store::Error::Upstream(text) => format!("configuration `{key}` cannot be read: {text}"),
        store::Error::Io(text) => format!("configuration `{key}` cannot be read: {text}"),
    })
}

fn parse_level(word: &str) -> Result<Level, String> {
    match word {
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warn" => Ok(Level::Warn),
        "error" => Ok(Level::Error),
        _ => Err(format!("configuration `level` is `{word}`, not one of debug, info, warn, error")),
    }
}

fn host_level(level: Level) -> logging::Level {
    match level {
        Level::Debug => logging::Level::Debug,
        Level::Info => logging::Level::Info,
        Level::Warn => logging::Level::Warn,
        Level::Error => logging::Level::Error,
    }
}

/// Says where a message comes from: the caller, its topic, or both.
fn place(caller: &str, topic: &str) -> String {
    match (caller.is_empty(), topic.is_empty()) {
        (true, _) => topic.to_owned(),
        (false, true) => caller.to_owned(),
        (false, false) => format!("{caller} {topic}"),
    }
}

export!(Logger);
