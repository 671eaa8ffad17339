//! Compile workers that do not do what they should: each is a named failure, and leaves nothing behind.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use domain::settings::CompileSettings;
use engine::{CompileParts, CompileWith, EngineSettings};

use crate::support::{Folder, World, call};

const ADDER: &str = include_str!("../fixtures/adder.wat");

/// Answers `ready` and two bytes of code.
const BEGUN: &str = r#"printf '\002\016\000\000\000{"missing":[]}\003\002\000\000\000ab'"#;

fn world(with: CompileWith) -> World {
    let settings = CompileSettings::default();
    let compile = CompileParts { with, settings, on_warning: None };
    World::compiling(Arc::new(Folder::new()), Vec::new(), EngineSettings::default(), compile)
}

/// Makes a world whose worker is a shell script.
fn scripted(script: &str) -> (tempfile::TempDir, World) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("worker");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    let world = world(CompileWith::Worker { program });
    (folder, world)
}

async fn refusal_of(world: &World) -> String {
    world.refusal(world.spec("demo:adder", ADDER)).await
}

#[tokio::test]
async fn what_a_worker_says_has_to_make_sense() {
    let cases = [
        ("echo hello", "answered what makes no sense: a frame of the unknown kind 104"),
        (r"printf '\003\377\377\377\377'", "a frame of 4294967295 bytes, where 1048576 are the most"),
        (r"printf '\003\001\000\000\000x'", "answered what makes no sense: Code out of turn"),
        (r"printf '\002\004\000\000\000nope'", "answered what makes no sense"),
        ("exit 3", "ended before it was done, with exit code 3"),
        (r"echo 'out of \033[31mluck' >&2; exit 1", r"saying: out of \u{1b}[31mluck"),
        (r"printf '\003\001'", "ended in the middle of a word, with exit code 0"),
        ("kill -SEGV $$", "was ended by SIGSEGV"),
        ("kill -KILL $$", "was ended by SIGKILL"),
    ];
    for (script, words) in cases {
        let (_folder, world) = scripted(script);
        let said = refusal_of(&world).await;
        assert!(said.starts_with("demo:adder compile host: the compile worker "), "{script}: {said}");
        assert!(said.contains(words), "{script}: {said}");
    }
}

#[tokio::test]
async fn code_that_is_cut_off_or_no_code_is_never_used() {
    for (end, words) in [
        ("", "ended before it was done"),
        (r#"printf '\004\014\000\000\000{"bytes":99}'"#, "2 bytes of 99"),
        (r#"printf '\004\013\000\000\000{"bytes":2}'; sleep 60"#, "freshly compiled code was refused"),
    ] {
        let (_folder, world) = scripted(&format!("{BEGUN}\n{end}"));
        let said = refusal_of(&world).await;
        assert!(said.contains(words), "{end}: {said}");
        assert_eq!(std::fs::read_dir(world.code.path.path()).unwrap().count(), 0, "{end}: nothing of it is kept");
    }
}

/// Whatever follows the code, there is code.
#[tokio::test]
async fn lines_that_never_come_or_make_no_sense_cost_the_code_nothing() {
    let maker = World::new();
    call(&maker.unit("demo:adder", ADDER).await, "add(1, 2)").await;
    let made = std::fs::read_dir(maker.code.path.path()).unwrap().next().unwrap().unwrap().path();
    let code = std::fs::read(made).unwrap();
    let done = format!(r#"{{"bytes":{},"lines":true}}"#, code.len());
    let frame = |kind: u8, content: &[u8]| {
        [&[kind], &u32::try_from(content.len()).unwrap().to_le_bytes()[..], content].concat()
    };
    let frames = [frame(2, br#"{"missing":[]}"#), frame(3, &code), frame(4, done.as_bytes())].concat();
    for end in [
        "",
        "exit 3",
        "kill -SEGV $$",
        r"printf '\006\003\000\000\000abc'",
        r"printf '\006\377\000\000\000abc'",
        r"printf '\003\001\000\000\000x'; sleep 60",
        "echo nonsense; sleep 60",
        "head -c 20000000 /dev/zero | tr '\\0' x; sleep 60",
    ] {
        let (folder, world) = scripted(&format!("cat \"$(dirname \"$0\")/frames\"\n{end}"));
        std::fs::write(folder.path().join("frames"), &frames).unwrap();
        let unit = world.unit("demo:adder", ADDER).await;
        assert_eq!(call(&unit, "add(40, 2)").await.json, serde_json::json!(42), "{end}");
        assert_eq!(std::fs::read_dir(world.code.path.path()).unwrap().count(), 1, "{end}: no lines are kept");
    }
}

#[tokio::test]
async fn limits_that_end_a_worker_are_told_by_name_and_remembered() {
    for (script, words) in [
        ("kill -XCPU $$", "compiling took more than 15s of processor time, the most for a component of 1 KiB"),
        ("echo 'memory allocation of 7 bytes failed' >&2; kill -ABRT $$", "compiling took more than 128MiB of memory"),
        (
            r#"printf '\005\041\000\000\000{"fault":"memory","reason":"oom"}'"#,
            "compiling took more than 128MiB of memory",
        ),
    ] {
        let (_folder, world) = scripted(script);
        let said = refusal_of(&world).await;
        assert!(said.contains("compile limit: ") && said.contains(words), "{script}: {said}");
        let again = refusal_of(&world).await;
        assert!(again.contains(words) && again.contains("(refused before, at 1970-01-01T12:00:00"), "{again}");
        assert_eq!(world.heard.compiled.lock().unwrap().len(), 2, "it was tried once");
    }
}

#[tokio::test]
async fn a_compiler_that_breaks_off_is_remembered_and_a_component_that_is_refused_is_not() {
    let failed = |document: &str| format!(r"printf '\005\{:03o}\000\000\000{document}'", document.len());
    let (_folder, world) = scripted(&failed(r#"{"fault":"compiler","reason":"at a loss"}"#));
    assert!(refusal_of(&world).await.contains("compile host: the compiler broke off on this component: at a loss"));
    assert!(refusal_of(&world).await.contains("refused before"));
    let (_folder, world) = scripted(&failed(r#"{"fault":"component","reason":"too odd"}"#));
    assert!(refusal_of(&world).await.contains("compile invalid-binary: the component cannot be compiled: too odd"));
    assert!(!refusal_of(&world).await.contains("refused before"));
    let (_folder, world) = scripted(&failed(r#"{"fault":"worker","reason":"another version"}"#));
    assert!(refusal_of(&world).await.contains("no component can be compiled: another version"));
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_when_nobody_wants_its_code() {
    let (folder, world) = scripted("echo $$ > \"$(dirname \"$0\")/pid\"; exec sleep 1000");
    let spec = world.spec("demo:adder", ADDER);
    let place = folder.path().join("pid");
    let number = || std::fs::read_to_string(&place).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let begun = async {
        while number().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = domain::ports::Engine::prepare(&world.engine, spec) => panic!("it hangs"),
        () = begun => {}
    }
    let process = PathBuf::from(format!("/proc/{}", number().unwrap()));
    if PathBuf::from("/proc/self").exists() {
        while process.exists() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn without_a_worker_nothing_is_compiled_and_the_reason_is_said() {
    let missing = world(CompileWith::Worker { program: "/nowhere/worker".into() });
    let said = refusal_of(&missing).await;
    assert!(
        said.contains("no component can be compiled: the worker's program /nowhere/worker cannot be started"),
        "{said}"
    );
    let nowhere = world(CompileWith::Nowhere { reason: "there is no compiler here".to_owned() });
    let said = refusal_of(&nowhere).await;
    assert_eq!(said, "demo:adder compile host: no component can be compiled: there is no compiler here");
}

#[tokio::test]
async fn what_a_machine_does_not_offer_is_said_once() {
    let ready = r#"{"missing":["no landlock"]}"#;
    let script = format!(
        r#"printf '\002\{:03o}\000\000\000{ready}\003\002\000\000\000ab\004\013\000\000\000{{"bytes":2}}'; sleep 60"#,
        ready.len()
    );
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("worker");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let compile = CompileParts {
        with: CompileWith::Worker { program },
        settings: CompileSettings::default(),
        on_warning: Some(Arc::new(move |text: &str| hears.lock().unwrap().push(text.to_owned()))),
    };
    let world = World::compiling(Arc::new(Folder::new()), Vec::new(), EngineSettings::default(), compile);
    refusal_of(&world).await;
    refusal_of(&world).await;
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("less protection") && heard[0].contains("no landlock"), "{heard:?}");
}
