//! A place of its own for each test, and commands run in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::binary;

/// No command takes this long; one that does hangs.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// A temporary folder with a data folder, a home and files for one test.
pub(crate) struct Sandbox {
    root: TempDir,
    /// Runs every command where `E2E_SERVED` is set; see [`Sandbox::served`].
    server: OnceLock<Option<Child>>,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(Some(server)) = self.server.get_mut() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    #[expect(dead_code, reason = "shown when a test fails")]
    command: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("runtime-e2e-").tempdir().expect("a temporary folder");
        for folder in ["home", "work"] {
            std::fs::create_dir(root.path().join(folder)).expect("a folder");
        }
        Self { root, server: OnceLock::new() }
    }

    /// Keeps a server away also where `E2E_SERVED` is set, for a test of what each process does for itself.
    pub(crate) fn unserved(self) -> Self {
        self.server.get_or_init(|| None);
        self
    }

    /// Has a server run the commands from here on, if the suite is run with `E2E_SERVED=1`: the tests that use it hold for both ways.
    fn serve(&self) {
        self.server.get_or_init(|| {
            if std::env::var_os("E2E_SERVED").is_none_or(|wanted| wanted != "1") {
                return None;
            }
            let mut command = self.bare_command(&["serve"]);
            let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the server starts");
            let mut line = String::new();
            let stdout = server.stdout.as_mut().expect("its output");
            BufReader::new(stdout).read_line(&mut line).expect("it says that it serves");
            assert!(line.starts_with("serving "), "{line}");
            Some(server)
        });
    }

    /// The folder that commands start in.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Writes a file below the working folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(&path, content).expect("the file is written");
        path
    }

    /// Copies a fixture into the working folder.
    pub(crate) fn fixture(&self, name: &str) -> PathBuf {
        self.write(name, fixture(name))
    }

    /// Makes the command, not started: an empty environment, this sandbox's data folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.serve();
        self.bare_command(args)
    }

    fn bare_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary::path());
        command.args(args).current_dir(self.work()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.root.path().join("home")).env("RUNTIME_DATA", self.data());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs the binary and waits for it.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        finish(self.spawn(args), args, None)
    }

    /// Runs the binary with text on standard input.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        finish(child.expect("the binary starts"), args, Some(input))
    }

    /// Starts the binary.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
    }

    /// Runs what has to succeed and returns its standard output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.stdout
    }

    /// Runs what has to succeed with `-o json` and returns its one document.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ran = self.run_json(args);
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.document()
    }

    /// Runs with `-o json`.
    pub(crate) fn run_json(&self, args: &[&str]) -> Ran {
        let args: Vec<_> = ["-o", "json"].into_iter().chain(args.iter().copied()).collect();
        self.run(&args)
    }

    /// Runs what has to fail with `code`, once as text and once as JSON, and returns the text run and the error document.
    ///
    /// Only for what changes nothing: it is run twice.
    pub(crate) fn fails(&self, args: &[&str], code: i32) -> (Ran, Value) {
        let text = self.run(args);
        text.assert_failed(code);
        assert!(text.stderr.contains("error: "), "{text:#?}");
        let json = self.run_json(args);
        json.assert_failed(code);
        let error = json.document()["error"].clone();
        check_error(&error, code, &json);
        (text, error)
    }

    /// Registers a component from its text under `id`, version 1.0.0.
    pub(crate) fn register(&self, id: &str, wat: &str) {
        self.register_version(id, "1.0.0", wat);
    }

    /// Registers a component from its text under `id` and `version`.
    pub(crate) fn register_version(&self, id: &str, version: &str, wat: &str) {
        let file = self.write(&format!("{}.wat", id.replace(':', "-")), wat);
        self.ok(&["-q", "register", &text(&file), "--id", id, "--version", version]);
    }

    /// Registers a fixture under `id`, version 1.0.0.
    pub(crate) fn register_fixture(&self, id: &str, name: &str) {
        self.register(id, &fixture(name));
    }

    /// Registers components with `component.toml` in one command: pairs of id and text.
    pub(crate) fn register_all(&self, components: &[(&str, String)]) {
        for (id, wat) in components {
            self.component(id, "1.0.0", "", wat);
        }
        self.ok(&["-q", "register", "components"]);
    }

    /// Makes a component folder below `components/`; `more` goes into its manifest.
    pub(crate) fn component(&self, id: &str, version: &str, more: &str, wat: &str) -> PathBuf {
        let folder = format!("components/{}", id.replace(':', "-"));
        self.write(&format!("{folder}/component.wat"), wat);
        let manifest = format!("id = \"{id}\"\nversion = \"{version}\"\n{more}");
        let manifest = self.write(&format!("{folder}/component.toml"), manifest);
        manifest.parent().expect("a folder").to_owned()
    }

    /// Returns the ids of all components, ordered.
    pub(crate) fn ids(&self) -> Vec<String> {
        let list = self.json(&["list"]);
        list["components"].as_array().expect("a list").iter().map(|entry| string(&entry["id"])).collect()
    }

    /// Returns the status of a component.
    pub(crate) fn status(&self, id: &str) -> String {
        string(&self.json(&["show", id])["status"])
    }
}

impl Ran {
    /// Returns standard output as one JSON document.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not one JSON document: {e}\n{self:#?}"))
    }

    /// Returns standard output as documents, one per line.
    pub(crate) fn documents(&self) -> Vec<Value> {
        let document = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON: {e}\n{self:#?}"));
        self.stdout.lines().map(document).collect()
    }

    /// Checks the exit code, and that the failure is told in sentences, not by a panic.
    pub(crate) fn assert_failed(&self, code: i32) {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(!self.stderr.contains("panicked") && !self.stdout.contains("panicked"), "{self:#?}");
    }
}

/// Checks what every error document has.
fn check_error(error: &Value, code: i32, ran: &Ran) {
    let kind = match code {
        2 => "invalid",
        3 => "not-found",
        4 => "conflict",
        5 => "denied",
        6 => "exhausted",
        7 => "guest",
        8 => "unavailable",
        70 => "internal",
        _ => panic!("no kind has exit code {code}"),
    };
    assert_eq!(error["kind"], kind, "{ran:#?}");
    let word = error["code"].as_str().unwrap_or_default();
    assert!(!word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{ran:#?}");
    assert!(error["message"].as_str().is_some_and(|message| message.len() > 5), "{ran:#?}");
    assert!(error["hints"].is_array(), "{ran:#?}");
}

/// Waits for a started command.
pub(crate) fn finish(mut child: Child, args: &[&str], input: Option<&str>) -> Ran {
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(text.as_bytes()).expect("the command reads");
    }
    let stdout = read_aside(child.stdout.take());
    let stderr = read_aside(child.stderr.take());
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("the command can be waited for") {
            break status;
        }
        if begun.elapsed() > COMMAND_MAX {
            child.kill().expect("the command can be ended");
            panic!("`runtime {}` hangs", args.join(" "));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let read =
        |thread: Option<std::thread::JoinHandle<String>>| thread.map(|t| t.join().expect("text")).unwrap_or_default();
    #[cfg(unix)]
    let code = std::os::unix::process::ExitStatusExt::signal(&status).map_or(status.code(), |signal| Some(-signal));
    #[cfg(not(unix))]
    let code = status.code();
    Ran {
        code: code.expect("an exit code"),
        stdout: read(stdout),
        stderr: read(stderr),
        command: format!("runtime {}", args.join(" ")),
    }
}

fn read_aside(stream: Option<impl Read + Send + 'static>) -> Option<std::thread::JoinHandle<String>> {
    stream.map(|mut stream| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).expect("the output can be read");
            String::from_utf8_lossy(&bytes).into_owned()
        })
    })
}

/// Returns a fixture's text.
pub(crate) fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns a path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("paths of tests are UTF-8").to_owned()
}

/// Returns a JSON string's text.
pub(crate) fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

/// Returns the strings of a JSON array.
pub(crate) fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap_or_else(|| panic!("not an array: {value}")).iter().map(string).collect()
}
