//! Data folders that cannot be used.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::Sandbox;
use crate::harness::sandbox::text;
use crate::harness::wat;

#[test]
fn a_data_folder_that_is_a_file() {
    let sandbox = Sandbox::new().unserved();
    fs::write(sandbox.data(), "a file").unwrap();
    let (ran, error) = sandbox.fails(&["list"], 2);
    assert!(ran.stderr.contains("not a folder"), "{ran:#?}");
    assert!(error["hints"].to_string().contains("--data"), "{error}");
    assert_eq!(fs::read_to_string(sandbox.data()).unwrap(), "a file");
    sandbox.fails(&["--data", &text(&sandbox.data().join("below")), "list"], 2);
}

#[cfg(unix)]
#[test]
fn a_data_folder_that_may_not_be_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let parent = sandbox.work().join("closed");
    fs::create_dir(&parent).unwrap();
    fs::set_permissions(&parent, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(parent.join("probe"), "").is_ok() {
        // The super-user writes everywhere: /sys is what refuses even that user.
        let (_, error) = sandbox.fails(&["--data", "/sys/runtime-data", "list"], 5);
        assert!(!error["message"].as_str().unwrap().is_empty());
        return;
    }
    let (ran, _) = sandbox.fails(&["--data", &text(&parent.join("data")), "list"], 5);
    assert!(ran.stderr.contains("closed"), "{ran:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_data_folder_where_the_system_makes_none() {
    let sandbox = Sandbox::new();
    let (ran, error) = sandbox.fails(&["--data", "/proc/nope", "list"], 5);
    assert!(ran.stderr.contains("/proc/nope: no folder can be made there"), "{ran:#?}");
    assert_eq!(error["code"], "data-folder-denied");
    assert!(error["hints"].to_string().contains("--data DIR"), "{error}");
    let long = "x".repeat(300);
    sandbox.fails(&["--data", &long, "list"], 5);
}

#[test]
fn a_relative_home_is_told_from_none() {
    let sandbox = Sandbox::new();
    let told = |home: Option<&str>, xdg: Option<&str>| {
        let mut command = sandbox.command(&["list"]);
        command.env_remove("RUNTIME_DATA").env_remove("HOME");
        home.map(|home| command.env("HOME", home));
        xdg.map(|xdg| command.env("XDG_DATA_HOME", xdg));
        if xdg == Some("") {
            // As good as none, like every empty variable.
            command.env("RUNTIME_DATA", "");
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("--data DIR"), "{text}");
        text.lines().next().unwrap_or_default().to_owned()
    };
    let told = [told(None, Some("")), told(Some("home"), None), told(None, Some("./x")), told(Some("home"), Some("x"))];
    assert_eq!(
        told,
        [
            "error: there is no data folder: neither HOME nor XDG_DATA_HOME is set",
            "error: there is no data folder: HOME is not an absolute path",
            "error: there is no data folder: XDG_DATA_HOME is not an absolute path",
            "error: there is no data folder: HOME and XDG_DATA_HOME are not absolute paths",
        ]
    );
}

#[test]
fn without_a_home_it_asks_for_a_data_folder() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["list"]);
    command.env_remove("RUNTIME_DATA").env_remove("HOME");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--data"));
}

#[test]
fn the_data_folder_is_where_the_options_say() {
    let sandbox = Sandbox::new();
    let run = |home: Option<&str>, xdg: Option<&str>| {
        let mut command = sandbox.command(&["list"]);
        command.env_remove("RUNTIME_DATA").env_remove("HOME");
        if let Some(home) = home {
            command.env("HOME", sandbox.work().join(home));
        }
        if let Some(xdg) = xdg {
            command.env("XDG_DATA_HOME", sandbox.work().join(xdg));
        }
        assert!(command.output().unwrap().status.success());
    };
    run(Some("somebody"), None);
    assert!(sandbox.work().join("somebody/.local/share/runtime").is_dir());
    run(Some("somebody"), Some("xdg"));
    assert!(sandbox.work().join("xdg/runtime").is_dir());
    sandbox.ok(&["--data", "here", "list"]);
    assert!(sandbox.work().join("here").is_dir());
    fs::create_dir(sandbox.work().join("there")).unwrap();
    sandbox.ok(&["-C", "there", "--data", "data", "list"]);
    assert!(sandbox.work().join("there/data").is_dir());
}

#[test]
fn a_folder_that_another_process_holds_is_waited_for_and_its_holder_named() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register("test:flaky", &crate::harness::sandbox::fixture("flaky.wat"));
    sandbox.ok(&["settings", "limits.fuel=100_000_000_000"]);
    sandbox.ok(&["activate", "flaky"]);
    let mut holder = sandbox.spawn(&["call", "flaky", "loop-forever()", "--timeout", "4s"]);
    // It holds the folder once nobody else gets it at once.
    let begun = Instant::now();
    let refused = loop {
        let ran = sandbox.run_json(&["list", "--lock-timeout", "0s"]);
        if ran.code != 0 {
            break ran;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the holder never came");
    };
    refused.assert_failed(8);
    let error = refused.document()["error"].clone();
    assert_eq!((error["kind"].as_str(), error["code"].as_str()), (Some("unavailable"), Some("data-folder-held")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&holder.id().to_string()) && message.contains("loop-forever"), "{message}");
    // A short command waits its turn.
    let ran = sandbox.run(&["list", "--lock-timeout", "60s"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    holder.wait().unwrap();
}

#[test]
fn a_full_disk_is_told_and_nothing_is_half_done() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register("test:a", &wat::answer(1));
    let file = sandbox.write("padded.wasm", padded(3 << 20));
    // A limit on the size of files is what a full disk looks like to one process.
    let ran = limited(&sandbox, &["-o", "json", "register", &text(&file), "--id", "test:big"], 1 << 20);
    let document: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:#?}"));
    assert_eq!(ran.status.code(), Some(6), "{ran:#?}");
    assert_eq!(document["error"]["kind"], "exhausted", "{document}");
    assert_eq!(sandbox.ids(), ["test:a"]);
    sandbox.ok(&["register", &text(&file), "--id", "test:big"]);
    assert_eq!(sandbox.ids(), ["test:a", "test:big"]);
}

/// A component that is as long as `size`, by a custom section.
fn padded(size: usize) -> Vec<u8> {
    let mut bytes = ::wat::parse_str(wat::answer(2)).unwrap();
    let mut section = vec![4, b'p', b'a', b'd', b's'];
    section.resize(size, 0);
    bytes.push(0);
    let mut length = section.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(section);
    bytes
}

/// Runs with a bound on the size of files that it writes.
fn limited(sandbox: &Sandbox, args: &[&str], bytes: u64) -> std::process::Output {
    let binary = crate::harness::binary::path();
    let mut command = std::process::Command::new("sh");
    // `ulimit -f` counts blocks of 512 bytes; SIGXFSZ is ignored so that the write fails instead.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
    command.arg("-c").arg(script).arg(binary).args(args).current_dir(sandbox.work()).env_clear();
    command.env("RUNTIME_DATA", sandbox.data()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.output().unwrap()
}
