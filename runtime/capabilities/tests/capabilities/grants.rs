//! What guests get of what is granted, and that they get no more.

use std::path::Path;
use std::sync::Arc;

use domain::failure::FailureKind;
use domain::ports::{EngineError, Unit, UnitSpec};
use domain::{Grant, GrantSet};
use serde_json::json;

use crate::support::{World, call, wave};

const ENVIRON: &str = include_str!("../../../../tests/fixtures/environ.wat");
const FILES: &str = include_str!("../../../../tests/fixtures/files.wat");

async fn granted(world: &World, wat: &str, grants: &[&str]) -> Arc<dyn Unit> {
    let grants: GrantSet = grants.iter().map(|grant| grant.parse::<Grant>().unwrap()).collect();
    world.prepared(UnitSpec { grants, ..world.spec(wat) }).await
}

/// A folder with a file in it, and one outside with a secret.
fn folders() -> (tempfile::TempDir, String) {
    let root = tempfile::tempdir().unwrap();
    // Some systems reach their temporary folder through a link.
    let path = std::fs::canonicalize(root.path()).unwrap();
    std::fs::create_dir_all(path.join("given/inner")).unwrap();
    std::fs::write(path.join("given/file"), "text").unwrap();
    std::fs::write(path.join("secret"), "secret").unwrap();
    let given = path.join("given").to_str().unwrap().to_owned();
    (root, given)
}

async fn answer(unit: &Arc<dyn Unit>, expression: &str) -> String {
    call(unit, expression).await.wave
}

#[tokio::test]
async fn a_guest_sees_the_variables_that_are_granted_and_no_other() {
    let world = World::new();
    assert_eq!(call(&world.unit(ENVIRON).await, "vars()").await.json, json!([]));
    let unit =
        granted(&world, ENVIRON, &["env SET=by the operator", "env HERE=", "env SURELY_NOT_SET", "clocks"]).await;
    assert_eq!(call(&unit, "vars()").await.json, json!([["SET", "by the operator"], ["HERE", ""]]));
    // The one variable that every test process has.
    let unit = granted(&world, ENVIRON, &["env PATH"]).await;
    let path = std::env::var("PATH").unwrap();
    assert_eq!(call(&unit, "vars()").await.json, json!([["PATH", path]]));
}

#[tokio::test]
async fn a_guest_sees_a_folder_where_it_is_granted() {
    let world = World::new();
    let (_root, given) = folders();
    let unit = granted(&world, FILES, &[&format!("folder {given} --at /data --mode rw")]).await;
    assert_eq!(call(&unit, "places()").await.json, json!(["/data"]));
    assert_eq!(answer(&unit, "read(\"file\")").await, "ok(\"text\")");
    assert_eq!(answer(&unit, "write(\"inner/new\", \"hello\")").await, "ok");
    assert_eq!(std::fs::read_to_string(Path::new(&given).join("inner/new")).unwrap(), "hello");
    assert_eq!(answer(&unit, "read(\"nothing\")").await, "err(no-entry)");
    for change in ["rename(\"inner/new\")", "remove(\"another\")", "make-folder(\"made\")", "remove-folder(\"made\")"] {
        assert_eq!(answer(&unit, change).await, "ok", "{change}");
    }
    assert_eq!(answer(&unit, "truncate(\"file\")").await, "ok");
}

#[tokio::test]
async fn nothing_in_a_folder_that_is_granted_to_be_read_can_be_changed() {
    let world = World::new();
    let (_root, given) = folders();
    let unit = granted(&world, FILES, &[&format!("folder {given} --at /data")]).await;
    assert_eq!(answer(&unit, "read(\"file\")").await, "ok(\"text\")");
    for change in [
        "write(\"file\", \"changed\")",
        "write(\"new\", \"made\")",
        "truncate(\"file\")",
        "shrink(\"file\")",
        "remove(\"file\")",
        "rename(\"file\")",
        "symlink(\"file\")",
        "link(\"file\")",
        "make-folder(\"made\")",
        "remove-folder(\"inner\")",
    ] {
        let refused = answer(&unit, change).await;
        assert!(
            ["err(not-permitted)", "err(read-only)", "err(bad-descriptor)"].contains(&&*refused),
            "{change}: {refused}"
        );
    }
    let names = |path: &str| std::fs::read_dir(path).unwrap().count();
    assert_eq!((names(&given), std::fs::read_to_string(format!("{given}/file")).unwrap()), (2, "text".to_owned()));
}

#[cfg(unix)]
#[tokio::test]
async fn no_path_and_no_link_leads_out_of_a_folder() {
    use std::os::unix::fs::symlink;
    let world = World::new();
    let (root, given) = folders();
    let secret = std::fs::canonicalize(root.path()).unwrap().join("secret");
    symlink(&secret, format!("{given}/absolute")).unwrap();
    symlink("../secret", format!("{given}/relative")).unwrap();
    symlink("..", format!("{given}/up")).unwrap();
    symlink("file", format!("{given}/inside")).unwrap();
    for mode in ["ro", "rw"] {
        let unit = granted(&world, FILES, &[&format!("folder {given} --at /data --mode {mode}")]).await;
        assert_eq!(answer(&unit, "read(\"inside\")").await, "ok(\"text\")");
        let absolute = format!("read({:?})", secret.to_str().unwrap());
        for path in ["absolute", "relative", "up/secret", "../secret", "inner/../../secret", "./../given/../secret"] {
            let refused = answer(&unit, &format!("read({path:?})")).await;
            assert!(refused.starts_with("err("), "{path}: {refused}");
        }
        assert!(answer(&unit, &absolute).await.starts_with("err("));
    }
    let unit = granted(&world, FILES, &[&format!("folder {given} --at /data --mode rw")]).await;
    for path in ["absolute", "relative", "up/new", "../new"] {
        let refused = answer(&unit, &format!("write({path:?}, \"mine\")")).await;
        assert!(refused.starts_with("err("), "{path}: {refused}");
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
}

#[tokio::test]
async fn a_folder_that_is_gone_is_a_failure_by_name() {
    let world = World::new();
    let (root, given) = folders();
    let unit = granted(&world, FILES, &[&format!("folder {given} --at /data")]).await;
    std::fs::remove_dir_all(&given).unwrap();
    let refused = match unit.call(wave("places()")).await {
        Err(EngineError::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused.kind, FailureKind::Denied);
    let message = refused.message.replace(&given, "FOLDER");
    insta::assert_snapshot!(message, @"no instance can be made: the folder `FOLDER`, which is granted at `/data`, cannot be opened: No such file or directory (os error 2)");
    // What lies there now is not what was granted.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/", &given).unwrap();
        match unit.call(wave("places()")).await {
            Err(EngineError::Failed(failure)) => {
                assert!(failure.message.ends_with("it leads to `/` now"), "{}", failure.message)
            }
            other => panic!("{other:?}"),
        }
        std::fs::remove_file(&given).unwrap();
    }
    std::fs::create_dir(&given).unwrap();
    assert_eq!(call(&unit, "places()").await.json, json!(["/data"]));
    drop(root);
}

/// Tells what its clocks say: the resolution of both, and the monotonic time.
const CLOCK: &str = r#"(component
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (export "now" (func (result u64))) (export "resolution" (func (result u64)))))
  (core func $now (canon lower (func $clock "now")))
  (core func $resolution (canon lower (func $clock "resolution")))
  (core module $m
    (import "x" "now" (func $now (result i64)))
    (import "x" "resolution" (func $resolution (result i64)))
    (func (export "now") (result i64) (call $now))
    (func (export "resolution") (result i64) (call $resolution)))
  (core instance $i (instantiate $m (with "x" (instance (export "now" (func $now)) (export "resolution" (func $resolution))))))
  (func (export "now") (result u64) (canon lift (core func $i "now")))
  (func (export "resolution") (result u64) (canon lift (core func $i "resolution"))))"#;

#[tokio::test]
async fn clocks_go_by_the_millisecond_unless_more_is_granted() {
    let world = World::new();
    let coarse = world.unit(CLOCK).await;
    assert_eq!(call(&coarse, "resolution()").await.json, json!(1_000_000));
    for _ in 0..5 {
        let now = call(&coarse, "now()").await.json.as_u64().unwrap();
        assert_eq!(now % 1_000_000, 0);
    }
    let precise = granted(&world, CLOCK, &["clocks precise"]).await;
    assert!(call(&precise, "resolution()").await.json.as_u64().unwrap() < 1_000_000);
}
