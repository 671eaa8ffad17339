//! Standard output and standard error.

use std::io::Read as _;

use crate::harness::Sandbox;
use crate::harness::sandbox::finish;
use crate::harness::wat;

#[test]
fn standard_output_carries_the_result_alone() {
    let sandbox = Sandbox::new();
    sandbox.register("test:lost", &wat::node("lost", &["ghost"]));
    let ran = sandbox.run(&["-v", "show", "lost", "-o", "json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    ran.document();
    assert!(ran.stderr.contains("took "), "{ran:#?}");
    for json in [&["--json"][..], &["-o", "json"], &["-ojson"], &["--output", "json"]] {
        sandbox.run(&[&["list"], json].concat()).document();
        sandbox.run(&[json, &["list"]].concat()).document();
    }
    let quiet = sandbox.run(&["-q", "activate", "lost"]);
    assert_eq!(quiet.stderr.lines().count(), 1, "{quiet:#?}");
}

#[test]
fn nothing_is_coloured_where_there_is_no_terminal() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    for args in
        [&["list"][..], &["show", "test:a"], &["show", "nobody"], &["health"], &["graph"], &["log"], &["--help"]]
    {
        let ran = sandbox.run(args);
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{ran:#?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::new();
    for n in 0..40 {
        sandbox.component(&format!("test:n{n}"), "1.0.0", "", &wat::answer(n));
    }
    sandbox.ok(&["-q", "register", "components"]);
    for args in [&["list", "-o", "json"][..], &["log"], &["--help"]] {
        let mut child = sandbox.spawn(args);
        // The first byte is read, then the pipe is closed.
        let mut stdout = child.stdout.take().unwrap();
        let mut byte = [0];
        let _ = stdout.read(&mut byte).unwrap();
        drop(stdout);
        let ran = finish(child, args, None);
        assert!(ran.code == 0 && !ran.stderr.contains("panicked") && !ran.stderr.contains("error"), "{ran:#?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    let mut command = sandbox.command(&["list"]);
    command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: cannot write the result"), "{output:?}");
}

#[test]
fn texts_of_components_cannot_move_the_cursor() {
    let sandbox = Sandbox::new();
    let manifest = "description = \"red \\u001B[31malert\\u202E\"\n[metadata]\nauthor = \"\\u001B]0;owned\\u0007\"\n";
    sandbox.component("test:a", "1.0.0", manifest, &wat::answer(1));
    sandbox.ok(&["-q", "register", "components"]);
    for args in [&["list"][..], &["show", "test:a"], &["graph"], &["inspect", "components/test-a"], &["log"]] {
        let out = sandbox.ok(args);
        assert!(!out.contains('\u{1b}') && !out.contains('\u{202e}') && !out.contains('\u{7}'), "{args:?}: {out:?}");
    }
}
