//! Fused and linked through gates, components answer alike: the same calls with random arguments, compared.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has to fail"
)]

#[path = "fused/text.rs"]
mod text;

use embed::domain::call::{CallExpression, CallRequest};
use embed::domain::{ComponentId, ComponentManifest, ErrorKind, Status};
use embed::{CompileIn, GrantSharing, ManifestSource, OpenOptions, RegisterRequest, Registry, RegistryError, Target};
use proptest::prelude::*;
use serde_json::{Value, json};
use text::{TYPES, echo, relay};

const ECHO: &str = include_str!("../../engine/tests/fixtures/echo.wat");
const ECHO_CALLER: &str = include_str!("../../engine/tests/fixtures/echo-caller.wat");
const SHOP: &str = include_str!("../../../tests/fixtures/shop.wat");
const SHOPPER: &str = include_str!("../../../tests/fixtures/shopper.wat");

/// A registry in a folder of its own, and a runtime to use it on.
struct World {
    registry: Registry,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let options = OpenOptions { compile: CompileIn::ThisProcess, ..OpenOptions::default() };
        let registry = runtime.block_on(embed::open(folder.path(), options)).unwrap();
        Self { registry, runtime, _folder: folder }
    }

    /// Registers component text under an id and the rest of a manifest.
    fn have(&self, id: &str, manifest: &str, wat: &str) {
        let manifest = ComponentManifest::parse(&format!("id = \"{id}\"\nversion = \"1.0.0\"\n{manifest}")).unwrap();
        let mut request = RegisterRequest::bytes(id, wat.as_bytes());
        request.manifest = Some(ManifestSource::Given(Box::new(manifest)));
        self.runtime.block_on(self.registry.register(request)).unwrap();
    }

    fn activate(&self, name: &str) -> Result<(), RegistryError> {
        let report = self.runtime.block_on(self.registry.activate(&[Target::from(id(name))]));
        report.failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    fn fuse(&self, name: &str, with: &[&str]) -> Result<bool, RegistryError> {
        let with: Vec<_> = with.iter().map(|part| id(part)).collect();
        let fused = self.runtime.block_on(self.registry.fuse(&id(name), &with, GrantSharing::Equal))?;
        Ok(fused.changed)
    }

    fn unfuse(&self, name: &str) -> Result<bool, RegistryError> {
        Ok(self.runtime.block_on(self.registry.unfuse(&id(name)))?.changed)
    }

    /// Calls a function; what it answers, or what sort of error it ends in.
    fn call(&self, name: &str, function: &str, args: &[Value]) -> Result<Value, ErrorKind> {
        let expression = CallExpression::Json { function: function.to_owned(), args: args.to_vec() };
        let request = CallRequest { expression, ..CallRequest::default() };
        match self.runtime.block_on(self.registry.call(&id(name), request)) {
            Ok(outcome) => Ok(outcome.json),
            Err(error) => Err(error.kind()),
        }
    }

    fn view(&self, name: &str) -> embed::EntryView {
        self.runtime.block_on(self.registry.get(&id(name))).unwrap()
    }

    fn calls(&self, name: &str) -> u64 {
        self.view(name).usage.calls
    }
}

fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

/// A chain of three: `first` relays to `second`, which relays to `third`, which answers what it is given.
/// However often it fails, it is called again.
const PATIENT: &str = "[breaker]\nfailures = \"never\"\n";

fn chain() -> World {
    let world = World::new();
    world.have("test:third", PATIENT, &echo("test:chain/c@1.0.0"));
    world.have("test:second", PATIENT, &relay("test:chain/b@1.0.0", "test:chain/c@1.0.0"));
    world.have("test:first", PATIENT, &relay("test:chain/a@1.0.0", "test:chain/b@1.0.0"));
    world.activate("test:first").unwrap();
    world
}

/// All ways to fuse the chain.
const WAYS: [(&str, &[&str]); 4] = [
    ("test:first", &["test:second"]),
    ("test:first", &["test:second", "test:third"]),
    ("test:second", &["test:third"]),
    ("test:first", &[]),
];

/// Random calls: a function by its place in the list of types, and its argument.
fn calls() -> impl Strategy<Value = Vec<(usize, Value)>> {
    let call = (0..TYPES.len()).prop_flat_map(|place| (Just(place), (TYPES[place].values)()));
    prop::collection::vec(call, 1..24)
}

#[test]
fn a_chain_answers_the_same_however_it_is_fused() {
    let world = chain();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let done = runner.run(&calls(), |calls| {
        let answers = || -> Vec<_> {
            calls
                .iter()
                .map(|(place, value)| world.call("test:first", &format!("f{place}"), std::slice::from_ref(value)))
                .collect()
        };
        let isolated = answers();
        for ((place, value), answer) in calls.iter().zip(&isolated) {
            if !TYPES[*place].traps {
                prop_assert_eq!(answer.as_ref(), Ok(value), "{}", TYPES[*place].wit);
            }
        }
        for (root, with) in WAYS.into_iter().filter(|(_, with)| !with.is_empty()) {
            prop_assert!(world.fuse(root, with).unwrap());
            prop_assert_eq!(&answers(), &isolated, "{} with {:?}", root, with);
            prop_assert!(world.unfuse(root).unwrap());
        }
        prop_assert_eq!(&answers(), &isolated, "apart again");
        Ok(())
    });
    done.unwrap();
}

#[test]
fn records_lists_and_strings_of_named_types_are_passed_as_through_a_gate() {
    let world = World::new();
    world.have("test:echo", "", ECHO);
    // Its functions are in an interface, which names the types that they have.
    let (bare, named) = (
        "(export \"sum\" (func $sum))",
        "(instance $api (export \"item\" (type $item)) (export \"sum\" (func $sum)))
         (export \"test:relay/api\" (instance $api))",
    );
    assert!(ECHO_CALLER.contains(bare));
    world.have("test:relay", "", &ECHO_CALLER.replace(bare, named));
    world.activate("test:relay").unwrap();
    let items = json!([{"label": "tea", "price": 3}, {"label": "Grüße", "price": 4}]);
    let answers = || {
        let sum = world.call("test:relay", "sum", std::slice::from_ref(&items));
        [world.call("test:relay", "relay", &[json!("Grüße, 世界")]), sum]
    };
    let isolated = answers();
    assert_eq!(isolated, [Ok(json!("Grüße, 世界")), Ok(json!(7))]);
    assert!(world.fuse("test:relay", &["test:echo"]).unwrap());
    assert_eq!(answers(), isolated);
}

#[test]
fn a_bare_function_with_a_type_of_a_part_is_refused_and_goes_on_through_the_gate() {
    let world = World::new();
    world.have("test:echo", "", ECHO);
    world.have("test:relay", "", ECHO_CALLER);
    world.activate("test:relay").unwrap();
    let refused = world.fuse("test:relay", &["test:echo"]).unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("cannot-fuse", ErrorKind::Conflict), "{refused}");
    assert_eq!(world.call("test:relay", "relay", &[json!("as before")]), Ok(json!("as before")));
    assert_eq!(world.calls("test:echo"), 1);
}

#[test]
fn only_the_one_that_is_called_counts_calls_and_what_it_is_fused_with_serves_others() {
    let world = chain();
    world.call("test:first", "f0", &[json!(1)]).unwrap();
    assert_eq!([world.calls("test:first"), world.calls("test:second"), world.calls("test:third")], [1, 1, 1]);
    world.fuse("test:first", &["test:second", "test:third"]).unwrap();
    world.call("test:first", "f0", &[json!(1)]).unwrap();
    assert_eq!([world.calls("test:first"), world.calls("test:second"), world.calls("test:third")], [2, 1, 1]);
    world.call("test:second", "f0", &[json!(1)]).unwrap();
    assert_eq!([world.calls("test:first"), world.calls("test:second"), world.calls("test:third")], [2, 2, 2]);
    // Who is not named is called through a gate.
    world.fuse("test:first", &["test:second"]).unwrap();
    world.call("test:first", "f0", &[json!(1)]).unwrap();
    assert_eq!([world.calls("test:first"), world.calls("test:second"), world.calls("test:third")], [3, 2, 3]);
    assert_eq!(world.view("test:first").fused.unwrap().with, [id("test:second")]);
}

#[test]
fn resources_pass_between_parts_as_they_do_through_gates() {
    let world = World::new();
    world.have("test:shop", "", SHOP);
    world.have("test:shopper", "", SHOPPER);
    world.activate("test:shopper").unwrap();
    let visit = || (world.call("test:shopper", "visit", &[]), world.calls("test:shop"));
    let (isolated, calls) = visit();
    assert_eq!((&isolated, calls > 0), (&Ok(json!(1)), true));
    assert!(world.fuse("test:shopper", &["test:shop"]).unwrap());
    assert_eq!(visit(), (isolated.clone(), calls));
    assert!(world.unfuse("test:shopper").unwrap());
    assert_eq!(visit(), (isolated, 2 * calls));
}

#[test]
fn what_cannot_be_composed_is_refused_and_nothing_changes() {
    let world = World::new();
    world.have("test:third", "", &echo("test:chain/c@1.0.0"));
    // The same functions under the same names, with the types turned round.
    let other = text::relay_of("test:chain/a@1.0.0", "test:chain/c@1.0.0", |place| TYPES.len() - 1 - place);
    world.have("test:other", "", &other);
    let refused = world.fuse("test:other", &["test:third"]).unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("cannot-fuse", ErrorKind::Conflict), "{refused}");
    assert!(refused.to_string().starts_with("`test:other` cannot be fused: import `test:chain/c@1.0.0`"), "{refused}");
    assert!(world.view("test:other").fused.is_none() && world.view("test:other").entry.fusion.is_none());
}

#[test]
fn a_new_revision_of_a_part_is_in_the_unit_from_the_next_call_on() {
    let world = World::new();
    world.have("test:part", "", &text::answering("test:part/number", 1));
    world.have("test:whole", "", &text::asking("test:whole/number", "test:part/number"));
    world.activate("test:whole").unwrap();
    world.fuse("test:whole", &["test:part"]).unwrap();
    assert_eq!(world.call("test:whole", "get", &[]), Ok(json!(1)));
    let manifest = ComponentManifest::parse("id = \"test:part\"\nversion = \"1.1.0\"").unwrap();
    let mut request = RegisterRequest::bytes("part", text::answering("test:part/number", 2).into_bytes());
    request.manifest = Some(ManifestSource::Given(Box::new(manifest)));
    world.runtime.block_on(world.registry.register(request)).unwrap();
    assert_eq!(world.call("test:whole", "get", &[]), Ok(json!(1)), "it waits for its activation");
    let target = Target { version: Some("1.1.0".parse().unwrap()), ..Target::from(id("test:part")) };
    let report = world.runtime.block_on(world.registry.activate(&[target]));
    assert!(report.failed.is_empty(), "{report:?}");
    assert_eq!(world.call("test:whole", "get", &[]), Ok(json!(2)));
    assert_eq!(world.call("test:part", "get", &[]), Ok(json!(2)));
    // Out of service it takes along what it is part of, as whoever needs it, and both come back.
    world.runtime.block_on(world.registry.mark_error(&id("test:part"), "a test")).unwrap();
    assert_eq!(world.call("test:whole", "get", &[]), Err(ErrorKind::Conflict));
    assert_eq!(world.view("test:whole").entry.status, Status::Inactive);
    world.activate("test:part").unwrap();
    assert_eq!(world.call("test:whole", "get", &[]), Ok(json!(2)));
}

#[test]
fn a_manifest_that_asks_for_it_is_fused_when_it_is_activated_and_can_be_taken_apart() {
    let world = World::new();
    world.have("test:part", "", &text::answering("test:part/number", 5));
    world.have("test:whole", "[instances]\nlink = \"fused\"\n", &text::asking("test:whole/number", "test:part/number"));
    world.activate("test:whole").unwrap();
    assert_eq!(world.call("test:whole", "get", &[]), Ok(json!(5)));
    assert_eq!(world.calls("test:part"), 0);
    let fused = world.view("test:whole").fused.unwrap();
    assert_eq!((fused.with.as_slice(), fused.by.as_str()), ([id("test:part")].as_slice(), "manifest"));
    assert!(world.unfuse("test:whole").unwrap() && !world.unfuse("test:whole").unwrap());
    assert_eq!(world.call("test:whole", "get", &[]), Ok(json!(5)));
    assert_eq!(world.calls("test:part"), 1);
    assert!(world.view("test:whole").fused.is_none());
}
