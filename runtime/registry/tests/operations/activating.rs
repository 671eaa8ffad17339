use std::sync::{Arc, Mutex};

use domain::ports::CompileProgress;
use domain::{ComponentId, ErrorKind, Status};

use crate::fakes::{World, id};

async fn diamond(world: &World) {
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x").await;
    world.have("name demo:left\nversion 1.0.0\nimport demo:base/x\nexport demo:left/x").await;
    world.have("name demo:right\nversion 1.0.0\nimport demo:base/x\nexport demo:right/x").await;
    world.have("name demo:top\nversion 1.0.0\nimport demo:left/x\nimport demo:right/x").await;
}

#[tokio::test]
async fn a_diamond_is_activated_in_waves_and_stopped_in_reverse() {
    let world = World::new().await;
    diamond(&world).await;
    let report = world.activate("demo:top").await;
    let waves: Vec<Vec<&str>> = report.waves.iter().map(|w| w.iter().map(|id| id.as_str()).collect()).collect();
    assert_eq!(waves, [vec!["demo:base"], vec!["demo:left", "demo:right"], vec!["demo:top"]]);
    assert_eq!(report.activated.len(), 4);
    world.registry.close().await.unwrap();
    let steps = world.steps.lock().unwrap().clone();
    let stops: Vec<_> = steps.iter().filter(|step| step.starts_with("stop")).collect();
    assert_eq!((stops[0].as_str(), stops[3].as_str()), ("stop demo:top", "stop demo:base"));
}

#[tokio::test]
async fn what_the_host_can_never_serve_is_refused_before_anything_is_compiled() {
    let world = World::new().await;
    let lines = "name demo:web\nversion 1.0.0\nimport wasi:http/types@0.2.0\nimport wasi:sockets/tcp@0.2.0";
    let warnings = world.have(lines).await.warnings;
    let told = "`wasi:http/types@0.2.0` and `wasi:sockets/tcp@0.2.0` are not granted and cannot be";
    assert!(warnings.iter().any(|warning| warning.contains(told)), "{warnings:?}");
    let report = world.activate("demo:web").await;
    let (_, error) = &report.failed[0];
    assert!(error.to_string().contains(told), "{error}");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hints().iter().any(|hint| hint.contains("[bind]")), "{:?}", error.hints());
    assert_eq!(*world.steps.lock().unwrap(), [""; 0], "the engine was not asked");
}

#[tokio::test]
async fn a_failing_component_is_marked_what_needs_it_is_skipped_and_the_rest_goes_on() {
    let world = World::new().await;
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x").await;
    world.have("name demo:bad\nversion 1.0.0\nimport demo:base/x\nexport demo:bad/x\nfail-start").await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:bad/x\nexport demo:user/x").await;
    world.have("name demo:far\nversion 1.0.0\nimport demo:user/x").await;
    world.have("name demo:other\nversion 1.0.0\nimport demo:base/x").await;
    let report = world.registry.activate_all().await.unwrap();
    let activated: Vec<_> = report.activated.iter().map(|a| a.id.as_str()).collect();
    assert_eq!(activated, ["demo:base", "demo:other"]);
    assert_eq!(report.failed[0].1.code(), "component-activation");
    assert_eq!(report.skipped, [(id("demo:user"), id("demo:bad")), (id("demo:far"), id("demo:user"))]);
    assert_eq!(world.status("demo:bad").await, Status::Error);
    assert_eq!(world.status("demo:user").await, Status::Registered);
    let errors = world.registry.errors(Some(&id("demo:bad")), 10).await.unwrap();
    assert_eq!((errors.len(), errors[0].failure.message.as_str()), (1, "not today"));
}

#[tokio::test]
async fn an_activation_that_failed_is_tried_again_and_its_history_stays() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0\nfail-start-once").await;
    assert_eq!(world.activate("demo:a").await.failed.len(), 1);
    assert_eq!(world.activate("demo:a").await.activated.len(), 1);
    assert_eq!(world.status("demo:a").await, Status::Active);
    assert_eq!(world.registry.errors(Some(&id("demo:a")), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_activated_for_a_version_that_is_refused_then_is_in_the_report() {
    let world = World::new().await;
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x").await;
    world.have("name demo:blocked\nversion 1.0.0\nimport demo:nobody/x\nexport demo:blocked/x").await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    world.have("name demo:a\nversion 2.0.0\nimport demo:base/x\nimport demo:blocked/x").await;
    let report = world.activate("demo:a@2.0.0").await;
    assert_eq!(report.failed[0].0, id("demo:a"));
    assert_eq!(world.status("demo:base").await, Status::Active);
    let activated: Vec<_> = report.activated.iter().map(|a| a.id.as_str()).collect();
    assert_eq!((activated, report.order, report.waves.len()), (vec!["demo:base"], vec![id("demo:base")], 1));
}

#[tokio::test]
async fn a_component_that_asks_for_too_much_fails_at_link_time_as_denied() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0\nfail-link").await;
    let report = world.activate("demo:a").await;
    assert_eq!(report.failed[0].1.kind(), ErrorKind::Denied);
    assert_eq!(world.status("demo:a").await, Status::Error);
}

#[tokio::test]
async fn what_is_active_is_left_alone() {
    let world = World::new().await;
    diamond(&world).await;
    world.activate("demo:left").await;
    let report = world.activate("demo:top").await;
    let activated: Vec<_> = report.activated.iter().map(|a| a.id.as_str()).collect();
    assert_eq!(activated, ["demo:right", "demo:top"]);
    let again = world.activate("demo:top").await;
    assert!(again.activated.is_empty());
    assert!(again.already_active.contains(&id("demo:top")));
}

#[tokio::test]
async fn a_plan_changes_nothing() {
    let world = World::new().await;
    diamond(&world).await;
    let before = world.events().await;
    let target = world.registry.resolve("demo:top").await.unwrap();
    let plan = world.registry.plan(&[target]).await.unwrap();
    assert_eq!(plan.order.len(), 4);
    assert_eq!(world.events().await, before);
    assert!(world.steps.lock().unwrap().is_empty());
}

#[tokio::test]
async fn deactivation_is_refused_while_active_components_depend_unless_it_cascades() {
    let world = World::new().await;
    diamond(&world).await;
    world.activate("demo:top").await;
    let refused = world.registry.deactivate(&[id("demo:base")], false).await;
    assert_eq!(refused.failed[0].1.kind(), ErrorKind::Conflict);
    assert_eq!(world.status("demo:base").await, Status::Active);
    let outcomes = world.registry.deactivate(&[id("demo:base")], true).await;
    assert_eq!(outcomes.done.first(), Some(&id("demo:top")));
    assert_eq!(outcomes.done.last(), Some(&id("demo:base")));
    assert_eq!(world.status("demo:top").await, Status::Inactive);
}

#[tokio::test]
async fn a_hook_before_can_refuse_and_one_after_is_only_recorded() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.have("name demo:b\nversion 1.0.0").await;
    world.registry.before_activation(|entry| async move {
        if entry.id.name() == "a" { Err("not on a Sunday".to_owned()) } else { Ok(()) }
    });
    world.registry.after_activation(|_| async { Err("nobody listens".to_owned()) });
    let report = world.activate("demo:a").await;
    assert!(report.failed[0].1.to_string().contains("not on a Sunday"));
    assert_eq!(world.registry.errors(Some(&id("demo:a")), 9).await.unwrap()[0].failure.kind.as_str(), "hook");
    let report = world.activate("demo:b").await;
    assert_eq!(report.activated.len(), 1);
    assert_eq!(world.status("demo:b").await, Status::Active);
    assert_eq!(world.registry.errors(Some(&id("demo:b")), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn status_callbacks_hear_every_change_once() {
    let world = World::new().await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    world.registry.on_status_change(move |id, old, new| log.lock().unwrap().push(format!("{id} {old} {new}")));
    world.have("name demo:a\nversion 1.0.0\nfail-start-once").await;
    world.activate("demo:a").await;
    world.activate("demo:a").await;
    world.registry.deactivate(&[id("demo:a")], false).await;
    assert_eq!(
        *heard.lock().unwrap(),
        [
            "demo:a discovered registered",
            "demo:a registered error",
            "demo:a error registered",
            "demo:a registered active",
            "demo:a active inactive",
        ]
    );
}

#[tokio::test]
async fn subscribers_get_the_records_in_order() {
    let world = World::new().await;
    let mut events = world.registry.subscribe();
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    assert_eq!(events.recv().await.unwrap().event.name(), "registered");
    assert_eq!(events.recv().await.unwrap().event.name(), "activated");
}

/// Remembers what was compiled.
#[derive(Default)]
struct Compiled(Mutex<Vec<String>>);

impl CompileProgress for Compiled {
    fn started(&self, component: &ComponentId, _: u64) {
        self.0.lock().unwrap().push(component.to_string());
    }

    fn finished(&self, _: &ComponentId) {}
}

#[tokio::test]
async fn who_asked_hears_of_compilations_and_nobody_else() {
    let world = World::new().await;
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x@1.0.0").await;
    world.have("name demo:top\nversion 1.0.0\nimport demo:base/x@1.0.0").await;
    world.have("name demo:other\nversion 1.0.0").await;
    let heard: [Arc<Compiled>; 2] = Default::default();
    let listeners = heard.clone().map(|compiled| compiled as Arc<dyn CompileProgress>);
    let [one, other] = [0, 1].map(|at| world.registry.with_compile_progress(&listeners[at]));
    let (tops, others) = ([id("demo:top").into()], [id("demo:other").into()]);
    let (a, b) = tokio::join!(one.activate(&tops), other.activate(&others));
    assert!(a.failed.is_empty() && b.failed.is_empty());
    let heard_by = |at: usize| heard[at].0.lock().unwrap().clone();
    assert_eq!(
        (heard_by(0), heard_by(1)),
        (vec!["demo:base".to_owned(), "demo:top".to_owned()], vec!["demo:other".to_owned()])
    );
    // Whoever goes away is not kept by what was compiled.
    let left = heard.each_ref().map(Arc::downgrade);
    drop((listeners, heard));
    assert!(left.iter().all(|left| left.upgrade().is_none()));
}
