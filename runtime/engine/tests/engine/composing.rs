//! One component of several.

use std::sync::Arc;

use domain::ports::{Engine, EngineError, FuseLink, FusePart};
use domain::settings::CompileSettings;
use engine::{CompileParts, CompileWith, EngineSettings};

use crate::support::{Folder, World, call};

const ADDER: &str = include_str!("../fixtures/adder.wat");
const CALLER: &str = include_str!("../fixtures/caller.wat");
const OPS: &str = "demo:math/ops@0.1.0";

fn part(world: &World, id: &str, wat: &str, links: Vec<FuseLink>) -> FusePart {
    let bytes = world.engine.to_binary(wat.as_bytes()).unwrap().into_owned();
    FusePart { id: id.parse().unwrap(), bytes: bytes.into(), links }
}

fn link(export: &str) -> Vec<FuseLink> {
    vec![FuseLink { import: OPS.to_owned(), export: export.to_owned(), part: 0 }]
}

fn pair(world: &World) -> (FusePart, Vec<FusePart>) {
    (part(world, "demo:caller", CALLER, link(OPS)), vec![part(world, "demo:adder", ADDER, vec![])])
}

fn refusal(composed: Result<Vec<u8>, EngineError>) -> String {
    match composed {
        Err(EngineError::CannotCompose { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_composed_needs_nobody_and_is_the_same_each_time() {
    let world = World::new();
    let (root, parts) = pair(&world);
    let composed = world.engine.compose(&root, &parts).unwrap();
    for _ in 0..8 {
        assert_eq!(world.engine.compose(&root, &parts).unwrap(), composed);
    }
    let renamed: Vec<_> =
        parts.iter().map(|part| FusePart { id: "other:id".parse().unwrap(), ..part.clone() }).collect();
    assert_eq!(world.engine.compose(&root, &renamed).unwrap(), composed, "ids are not in the bytes");
    let (inspected, own) = (world.engine.inspect(&composed).unwrap(), world.engine.inspect(&root.bytes).unwrap());
    assert_eq!((inspected.imports.as_slice(), &inspected.exports), ([].as_slice(), &own.exports));
    let unit = world.prepare(world.spec_of("demo:caller", composed)).await;
    assert_eq!(call(&unit, "twice(21)").await.json, serde_json::json!(42));
}

#[test]
fn what_does_not_fit_is_said_with_the_import() {
    let world = World::new();
    let (_, parts) = pair(&world);
    let astray = part(&world, "demo:caller", CALLER, link("demo:math/other@0.1.0"));
    let reason = refusal(world.engine.compose(&astray, &parts));
    assert!(reason.starts_with("import `demo:math/ops@0.1.0` of demo:caller: "), "{reason}");
    let nowhere = vec![FuseLink { part: 7, ..link(OPS).remove(0) }];
    let nowhere = part(&world, "demo:caller", CALLER, nowhere);
    assert_eq!(refusal(world.engine.compose(&nowhere, &parts)), "a link leads to a part that is not there");
    let (root, _) = pair(&world);
    let other = part(&world, "demo:adder", &ADDER.replace("\"b\" u32", "\"b\" s32"), vec![]);
    let reason = refusal(world.engine.compose(&root, &[other]));
    assert!(reason.contains("demo:math/ops@0.1.0") && reason.len() < 1_200, "{reason}");
}

#[test]
fn bytes_are_bounded_together_and_counted_before_they_are_read() {
    let settings = CompileSettings { size_bytes: 400, ..CompileSettings::default() };
    let compile = CompileParts { with: CompileWith::ThisProcess, settings, on_warning: None };
    let world = World::compiling(Arc::new(Folder::new()), Vec::new(), EngineSettings::default(), compile);
    let (root, parts) = pair(&World::new());
    assert!(root.bytes.len() < 400 && parts[0].bytes.len() < 400);
    let reason = refusal(world.engine.compose(&root, &parts));
    assert!(reason.starts_with("together they have ") && reason.contains("`compile.size`"), "{reason}");
    let broken = FusePart { bytes: root.bytes[..60].into(), ..root };
    let error = World::new().engine.compose(&broken, &parts).unwrap_err();
    assert!(matches!(error, EngineError::NotAComponent { .. }), "{error:?}");
}
