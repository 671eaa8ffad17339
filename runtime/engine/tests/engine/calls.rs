//! Calls from outside.

use domain::call::{CallExpression, CallRequest};
use domain::failure::FailureKind;
use domain::ports::{EngineError, InstanceState};
use serde_json::json;

use crate::support::{World, call, failure, wave};

const ADDER: &str = include_str!("../fixtures/adder.wat");
const TROUBLE: &str = include_str!("../fixtures/trouble.wat");

#[tokio::test]
async fn calls_a_function_and_reports_exact_fuel() {
    let world = World::new();
    let unit = world.unit("demo:adder", ADDER).await;
    let outcome = call(&unit, "add(1, 2)").await;
    assert_eq!((outcome.json, outcome.wave.as_str(), &*outcome.function), (json!(3), "3", "add"));
    let again = call(&unit, "demo:math/ops@0.1.0#add(40, 2)").await;
    assert_eq!((again.json, &*again.function), (json!(42), "demo:math/ops@0.1.0#add"));
    assert_eq!((outcome.fuel, again.fuel), (4, 4));
    let heard = world.heard.calls.lock().unwrap();
    assert!(heard.iter().all(|call| call.ok && call.fuel == 4 && call.caller.is_none()));
    assert_eq!(heard.iter().map(|call| call.hit).collect::<Vec<_>>(), [Some(false), Some(true)]);
}

#[tokio::test]
async fn finds_functions_by_as_much_of_their_name_as_is_unambiguous() {
    let world = World::new();
    let unit = world.unit("demo:adder", ADDER).await;
    for name in ["ops#add", "ops@0.1.0#add", "demo:math/ops#add", "demo:math/ops@0.1.0#add", "demo:math/ops#%add"] {
        assert_eq!(&*call(&unit, &format!("{name}(1, 1)")).await.function, "demo:math/ops@0.1.0#add");
    }
    for name in ["ops@0.2.0#add", "math/ops#add", "demo:math/ops@0.1#add"] {
        let refused = unit.call(wave(&format!("{name}(1, 1)"))).await;
        assert!(matches!(refused, Err(EngineError::UnknownFunction { .. })), "{name}: {refused:?}");
    }
    match unit.call(wave("subtract(1, 1)")).await {
        Err(EngineError::UnknownFunction { function, known, .. }) => {
            assert_eq!((function.as_str(), known), ("subtract", vec!["add".into(), "demo:math/ops@0.1.0#add".into()]));
        }
        other => panic!("{other:?}"),
    }
    let twins = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $x (export "f" (func $f)))
        (export "a:b/c" (instance $x))
        (export "a:b/d" (instance $x)))"#;
    let unit = world.unit("demo:twins", twins).await;
    match unit.call(wave("f()")).await {
        Err(EngineError::AmbiguousFunction { candidates, .. }) => assert_eq!(candidates, ["a:b/c#f", "a:b/d#f"]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn takes_json_arguments() {
    let world = World::new();
    let unit = world.unit("demo:adder", ADDER).await;
    let request = |args: Vec<serde_json::Value>| CallRequest {
        expression: CallExpression::Json { function: "add".into(), args },
        ..CallRequest::default()
    };
    assert_eq!(unit.call(request(vec![json!(1), json!(2)])).await.unwrap().json, json!(3));
    let message = |outcome: Result<_, EngineError>| match outcome {
        Err(EngineError::BadArguments { reason, signature }) => format!("{reason} | {}", signature.unwrap()),
        other => panic!("{other:?}"),
    };
    insta::assert_snapshot!(message(unit.call(request(vec![json!(1)])).await), @"the function takes 2 arguments, 1 was given | func(a: u32, b: u32) -> u32");
    insta::assert_snapshot!(message(unit.call(request(vec![json!(1), json!(-2)])).await), @"argument `b`: expected u32, found -2 | func(a: u32, b: u32) -> u32");
    assert_eq!(unit.instance_state(), InstanceState::Live, "bad arguments do not touch the instance");
    assert!(world.heard.failures().is_empty());
}

#[tokio::test]
async fn a_trap_is_recorded_once_and_the_next_call_gets_a_new_instance() {
    let world = World::new();
    let unit = world.unit("demo:trouble", TROUBLE).await;
    assert_eq!(call(&unit, "pages()").await.json, json!(1));
    let crash = failure(&unit, wave("crash()")).await;
    assert_eq!(crash.kind, FailureKind::Trap);
    insta::assert_snapshot!(crash.message, @"the guest trapped: wasm `unreachable` instruction executed");
    assert_eq!(crash.function.as_deref(), Some("crash"));
    insta::assert_snapshot!(crash.backtrace.join("\n"), @r"
    m!inner
    m!<wasm function 3>
    ");
    assert_eq!(unit.instance_state(), InstanceState::Cold);
    assert_eq!(call(&unit, "pages()").await.json, json!(1));
    assert_eq!(unit.instance_state(), InstanceState::Live);
    assert_eq!(world.heard.failures().len(), 1);
    let divide = failure(&unit, wave("divide(1, 0)")).await;
    insta::assert_snapshot!(divide.message, @"the guest trapped: integer divide by zero");
}

#[tokio::test]
async fn cases_that_are_words_of_wave_are_told_how_to_be_written() {
    let cases: String = (0..500).map(|number| format!(" \"c{number}\"")).collect();
    let wat = format!(
        r#"(component
        (core module $m (func (export "f") (param i32) (result i32) local.get 0))
        (core instance $i (instantiate $m))
        (type $e' (enum "none" "other"))
        (export $e "e" (type $e'))
        (type $many' (enum{cases}))
        (export $many "many" (type $many'))
        (func (export "f") (param "x" $e) (result $e) (canon lift (core func $i "f")))
        (func (export "g") (param "x" $many) (result $many) (canon lift (core func $i "f"))))"#
    );
    let unit = World::new().unit("demo:words", &wat).await;
    assert_eq!(call(&unit, "f(%none)").await.json, json!("none"));
    match unit.call(wave("f(none)")).await {
        Err(EngineError::BadArguments { reason, .. }) => assert!(reason.contains("written `%none`"), "{reason}"),
        other => panic!("{other:?}"),
    }
    match unit.call(wave("g(zzz)")).await {
        Err(EngineError::BadArguments { reason, signature }) => {
            assert!(reason.len() < 1_000 && signature.unwrap().len() < 1_100, "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn names_with_line_feeds_make_no_lines_in_a_backtrace() {
    let wat = r#"(component
        (core module $m (func $"inner\n   3: 0x1 - forged!frame" (export "crash") unreachable))
        (core instance $i (instantiate $m))
        (func (export "crash") (canon lift (core func $i "crash"))))"#;
    let unit = World::new().unit("demo:trouble", wat).await;
    let crash = failure(&unit, wave("crash()")).await;
    assert_eq!(crash.backtrace, ["m!inner\\n   3: 0x1 - forged!frame"]);
}

#[tokio::test]
async fn a_dropped_call_takes_its_instance_with_it() {
    let world = World::new();
    let unit = world.unit("demo:trouble", TROUBLE).await;
    call(&unit, "pages()").await;
    let spin = unit.call(wave("spin()"));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(1), spin).await.is_err());
    assert_eq!(unit.instance_state(), InstanceState::Cold);
    assert_eq!(call(&unit, "pages()").await.json, json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_many_tasks_queue_for_the_one_instance() {
    let world = World::new();
    let unit = world.unit("demo:adder", ADDER).await;
    let calls = (0..64_u32).map(|n| {
        let unit = std::sync::Arc::clone(&unit);
        tokio::spawn(async move { call(&unit, &format!("add({n}, {n})")).await.json })
    });
    for (n, called) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(called.await.unwrap(), json!(2 * n));
    }
    let misses = world.heard.calls.lock().unwrap().iter().filter(|call| call.hit == Some(false)).count();
    assert_eq!(misses, 1);
}
