//! Long commands that are interrupted stop soon, leave nothing behind, and can be run again.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::sandbox::{finish, text};
use crate::harness::{Sandbox, wat};

/// Long enough to be read for many minutes; it takes no room on the disk.
const ENDLESS: u64 = 1 << 40;
/// Long enough that an interrupt comes before its end.
const LONG: u64 = 3 << 30;
/// Nothing that is waited for here takes this long, unless it does not come at all.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A registry with a component, and a file among its blobs that nothing names.
fn with_blob(sandbox: Sandbox, size: u64) -> (Sandbox, PathBuf) {
    sandbox.register("test:one", &wat::answer(1));
    let digest = "ab".repeat(32);
    let shelf = sandbox.data().join("blobs/sha256/ab");
    std::fs::create_dir_all(&shelf).unwrap();
    let blob = shelf.join(digest);
    std::fs::File::create(&blob).unwrap().set_len(size).unwrap();
    (sandbox, blob)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WAIT_MAX, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Tells whether the process has the file open. Not whether any has: by the time that all were looked at, it may have been read.
fn is_read(by: u32, file: &Path) -> bool {
    let open = std::fs::read_dir(format!("/proc/{by}/fd")).into_iter().flatten();
    open.flatten().any(|open| std::fs::read_link(open.path()).is_ok_and(|to| to == file))
}

/// Runs what reads the file, itself or through the server, and interrupts it while that is read. Returns who read it.
fn interrupted(sandbox: &Sandbox, args: &[&str], file: &Path, server: Option<&Child>) -> u32 {
    let child = sandbox.spawn(args);
    let pid = Pid::from_child(&child);
    let reader = server.unwrap_or(&child).id();
    wait_until("it never reads the file", || is_read(reader, file));
    kill_process(pid, Signal::INT).unwrap();
    let ran = finish(child, args, None);
    assert_eq!(ran.code, 130, "{ran:#?}");
    assert!(ran.stderr.contains("interrupted before anything was changed"), "{ran:#?}");
    reader
}

fn serve(sandbox: &Sandbox) -> Child {
    // Its own reading of all blobs would look the same.
    let server = sandbox.spawn(&["serve", "--scrub", "off"]);
    let socket = sandbox.data().join("runtime.sock");
    wait_until("the server does not come", || socket.exists());
    server
}

#[test]
fn a_check_ends_when_nobody_waits_for_it() {
    for is_served in [false, true] {
        let (sandbox, blob) = with_blob(Sandbox::new().unserved(), ENDLESS);
        let blob = blob.canonicalize().unwrap();
        let server = is_served.then(|| serve(&sandbox));
        let reader = interrupted(&sandbox, &["verify"], &blob, server.as_ref());
        wait_until("it is still read", || !is_read(reader, &blob));
        if let Some(mut server) = server {
            // A client that is just gone says nothing.
            let mut client = sandbox.spawn(&["verify"]);
            wait_until("it never reads the file", || is_read(reader, &blob));
            client.kill().unwrap();
            client.wait().unwrap();
            wait_until("it is still read", || !is_read(reader, &blob));
            std::fs::remove_file(&blob).unwrap();
            assert_eq!(sandbox.json(&["verify"])["ok"], true);
            kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
            assert!(server.wait().unwrap().success());
        } else {
            std::fs::remove_file(&blob).unwrap();
            assert_eq!(sandbox.json(&["verify"])["ok"], true);
        }
    }
}

#[test]
fn a_check_that_is_interrupted_leaves_nothing_in_the_folder_for_temporary_files() {
    let (sandbox, _) = with_blob(Sandbox::new().unserved(), 0);
    // What is copied to be looked at.
    let index = sandbox.data().join("index/db");
    std::fs::create_dir_all(index.parent().unwrap()).unwrap();
    let file = std::fs::File::options().create(true).append(true).open(&index).unwrap();
    file.set_len(file.metadata().unwrap().len() + LONG).unwrap();
    let temporary = sandbox.work().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let child = sandbox.command(&["verify"]).env("TMPDIR", &temporary).spawn().unwrap();
    let begun = || std::fs::read_dir(&temporary).unwrap().next().is_some();
    let index = index.canonicalize().unwrap();
    wait_until("nothing is copied", || begun() && is_read(child.id(), &index));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ran = finish(child, &["verify"], None);
    assert_eq!((ran.code, begun()), (130, false), "{ran:#?}");
}

#[test]
fn a_copy_that_is_interrupted_leaves_nothing_beside_its_place() {
    for is_served in [false, true] {
        let (sandbox, blob) = with_blob(Sandbox::new().unserved(), LONG);
        let blob = blob.canonicalize().unwrap();
        let server = is_served.then(|| serve(&sandbox));
        let before = std::fs::read_dir(sandbox.work()).unwrap().count();
        let reader = interrupted(&sandbox, &["backup", "all.tar"], &blob, server.as_ref());
        wait_until("it is still read", || !is_read(reader, &blob));
        wait_until("something is left", || std::fs::read_dir(sandbox.work()).unwrap().count() == before);
        std::fs::remove_file(&blob).unwrap();
        sandbox.ok(&["backup", "all.tar"]);
        let other = text(&sandbox.work().join("other"));
        sandbox.ok(&["--data", &other, "restore", "all.tar"]);
        if let Some(mut server) = server {
            kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
            server.wait().unwrap();
        }
    }
}
