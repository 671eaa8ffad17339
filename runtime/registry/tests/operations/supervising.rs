//! Restarts, quarantine, dependents that follow, and health, with a clock that the test moves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::call::{CallExpression, CallRequest};
use domain::failure::FailureKind;
use domain::{ComponentManifest, ErrorKind, Event, Status};
use registry::{BreakerState, ManifestSource, RegistryError, SupervisionView};
use storage::MemoryStore;

use crate::fakes::{Blobs, Settings, Ticking, World, component, id};

const SECOND: Duration = Duration::from_secs(1);

/// A component that fails when it is called, as long as the world is ill.
const MOODY: &str = "name demo:moody\nversion 1.0.0\nexport demo:moody/x\nfail-call-while-ill";
const USER: &str = "name demo:user\nversion 1.0.0\nexport demo:user/x\nimport demo:moody/x";
const TOP: &str = "name demo:top\nversion 1.0.0\nimport demo:user/x\nimport demo:moody/x";

impl World {
    fn set_ill(&self, ill: bool) {
        self.ill.store(ill, Ordering::SeqCst);
    }

    async fn try_call(&self, name: &str) -> Result<(), RegistryError> {
        let expression = CallExpression::Wave("go()".to_owned());
        self.registry.call(&id(name), CallRequest { expression, ..CallRequest::default() }).await.map(drop)
    }

    /// Calls until the component is in quarantine, and returns how often that was.
    async fn call_until_quarantined(&self, name: &str) -> usize {
        for calls in 1..100 {
            self.try_call(name).await.unwrap_err();
            if self.status(name).await == Status::Error {
                // As the supervisor does.
                self.registry.supervise().await.unwrap();
                return calls;
            }
        }
        panic!("{name} is never in quarantine");
    }

    async fn pass(&self, time: Duration) {
        self.clock.move_on(time);
        self.registry.supervise().await.unwrap();
    }

    async fn watched(&self, name: &str) -> SupervisionView {
        self.registry.get(&id(name)).await.unwrap().supervision
    }

    async fn have_with(&self, lines: &str, manifest: &str) {
        let mut request = component(lines);
        request.manifest = Some(ManifestSource::Given(Box::new(ComponentManifest::parse(manifest).unwrap())));
        self.registry.register(request).await.unwrap();
    }

    async fn named(&self, event: &str) -> Vec<Event> {
        let records = self.registry.records(0, 10_000).await.unwrap();
        records.into_iter().map(|record| record.event).filter(|found| found.name() == event).collect()
    }
}

#[tokio::test]
async fn the_fifth_failure_within_a_minute_puts_a_component_in_quarantine_and_calls_are_refused_at_once() {
    let world = World::new().await;
    world.have(MOODY).await;
    world.activate("demo:moody").await;
    world.set_ill(true);
    assert_eq!(world.call_until_quarantined("demo:moody").await, 5);
    let (records, failures) = (world.registry.last_seq(), world.registry.errors(None, 100).await.unwrap().len());
    for _ in 0..1_000 {
        let error = world.try_call("demo:moody").await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "component-quarantined"));
        let text = error.to_string();
        assert!(text.contains("after 5 failures within 60s, the last: unreachable"), "{text}");
    }
    assert_eq!(world.registry.last_seq(), records, "a refused call is no record");
    assert_eq!(world.registry.errors(None, 100).await.unwrap().len(), failures);
    let watched = world.watched("demo:moody").await;
    assert_eq!((watched.breaker, watched.refused), (BreakerState::Open, 1_000));
    assert_eq!(watched.quarantine.unwrap().round, 1);
}

#[tokio::test]
async fn failures_that_are_far_apart_or_of_others_do_not_count() {
    let world = World::new().await;
    world.have(MOODY).await;
    world.activate("demo:moody").await;
    world.set_ill(true);
    for _ in 0..12 {
        world.try_call("demo:moody").await.unwrap_err();
        world.clock.move_on(SECOND * 16);
    }
    assert_eq!(world.status("demo:moody").await, Status::Active, "never five within a minute");
    let failure = world.registry.errors(None, 1).await.unwrap().remove(0).failure;
    use domain::ports::EngineObserver as _;
    for kind in [FailureKind::Dependency, FailureKind::Denied, FailureKind::Exhausted, FailureKind::Host] {
        for _ in 0..9 {
            let at = world.registry.errors(None, 1).await.unwrap()[0].failure.at;
            world.tracker.failed(domain::Failure { kind, at, message: kind.to_string(), ..failure.clone() });
            world.registry.errors(None, 1).await.unwrap();
        }
    }
    world.tracker.failed(domain::Failure { by_caller: true, message: "late".to_owned(), ..failure.clone() });
    world.registry.errors(None, 1).await.unwrap();
    assert_eq!(world.status("demo:moody").await, Status::Active);
}

#[tokio::test]
async fn after_its_time_one_call_tries_the_component_and_ends_the_quarantine_or_makes_it_longer() {
    let world = World::with_settings("[breaker]\nfailures = 2").await;
    world.have(MOODY).await;
    world.activate("demo:moody").await;
    world.set_ill(true);
    world.call_until_quarantined("demo:moody").await;
    world.clock.move_on(SECOND * 10);
    assert_eq!(world.watched("demo:moody").await.breaker, BreakerState::HalfOpen);
    let error = world.try_call("demo:moody").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Guest, "it was let through: {error}");
    let quarantine = world.watched("demo:moody").await.quarantine.unwrap();
    let length = quarantine.probe_at.since(quarantine.since);
    assert!(quarantine.round == 2 && length > SECOND * 17 && length <= SECOND * 20, "{quarantine:?}");
    assert_eq!(world.try_call("demo:moody").await.unwrap_err().code(), "component-quarantined");
    world.set_ill(false);
    world.clock.move_on(SECOND * 20);
    world.try_call("demo:moody").await.unwrap();
    assert_eq!(world.status("demo:moody").await, Status::Active);
    world.try_call("demo:moody").await.unwrap();
    match world.named("recovered").await.as_slice() {
        [Event::Recovered { relapse, refused, .. }] => assert!(relapse.proven && relapse.round == 2 && *refused == 1),
        events => panic!("{events:?}"),
    }
    world.set_ill(true);
    assert_eq!(world.call_until_quarantined("demo:moody").await, 2, "it proved itself, and has as many as any");
    assert_eq!(world.watched("demo:moody").await.quarantine.unwrap().round, 3, "but is not forgotten yet");
}

#[tokio::test]
async fn a_call_that_says_nothing_of_the_component_leaves_the_quarantine_as_it_is() {
    let world = World::with_settings("[breaker]\nfailures = 1").await;
    world.have(MOODY).await;
    world.activate("demo:moody").await;
    world.set_ill(true);
    world.call_until_quarantined("demo:moody").await;
    world.set_ill(false);
    world.clock.move_on(SECOND * 10);
    let expression = CallExpression::Json { function: "bad-arguments".to_owned(), args: vec![] };
    let request = CallRequest { expression, ..CallRequest::default() };
    let error = world.registry.call(&id("demo:moody"), request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(world.watched("demo:moody").await.breaker, BreakerState::HalfOpen);
    world.try_call("demo:moody").await.unwrap();
}

#[tokio::test]
async fn the_registry_tries_by_itself_and_what_was_only_started_is_on_probation() {
    let world = World::new().await;
    world.have(MOODY).await;
    world.activate("demo:moody").await;
    world.set_ill(true);
    world.call_until_quarantined("demo:moody").await;
    world.pass(SECOND * 5).await;
    assert_eq!(world.status("demo:moody").await, Status::Error, "not before its time");
    world.pass(SECOND * 5).await;
    assert_eq!(world.status("demo:moody").await, Status::Active);
    assert_eq!(world.watched("demo:moody").await.breaker, BreakerState::Probation);
    assert_eq!(world.call_until_quarantined("demo:moody").await, 1);
    assert_eq!(world.watched("demo:moody").await.quarantine.unwrap().round, 2);
    world.set_ill(false);
    world.pass(SECOND * 20).await;
    world.clock.move_on(SECOND * 61);
    assert_eq!(world.watched("demo:moody").await.breaker, BreakerState::Closed, "all is forgotten");
}

#[tokio::test]
async fn a_component_that_can_say_how_it_is_proves_itself_by_that() {
    let world = World::with_settings("[breaker]\nfailures = 2").await;
    let lines = format!("{MOODY}\nexport registry:component/health@1.0.0\nunhealthy-while-ill");
    world.have(&lines).await;
    world.activate("demo:moody").await;
    world.set_ill(true);
    world.call_until_quarantined("demo:moody").await;
    world.pass(SECOND * 10).await;
    assert_eq!(world.watched("demo:moody").await.quarantine.unwrap().round, 2, "it said that it is not well");
    world.set_ill(false);
    world.pass(SECOND * 20).await;
    assert_eq!(world.watched("demo:moody").await.breaker, BreakerState::Closed);
}

#[tokio::test]
async fn a_quarantine_outlives_the_process_and_clearing_the_errors_ends_it() {
    let clock = Arc::new(Ticking::default());
    let state = Arc::new(MemoryStore::new(clock.clone()));
    let (blobs, settings) = (Arc::new(Blobs::default()), Arc::new(Settings::default()));
    let open = async || World::of(state.clone(), blobs.clone(), settings.clone(), None, clock.clone()).await;
    let first = open().await;
    first.have(MOODY).await;
    first.activate("demo:moody").await;
    first.set_ill(true);
    for _ in 0..3 {
        first.try_call("demo:moody").await.unwrap_err();
    }
    first.registry.close().await.unwrap();
    // Failures of an earlier process count as well.
    let second = open().await;
    second.set_ill(true);
    assert_eq!(second.call_until_quarantined("demo:moody").await, 2);
    second.registry.close().await.unwrap();
    let third = open().await;
    assert_eq!(third.try_call("demo:moody").await.unwrap_err().code(), "component-quarantined");
    third.pass(SECOND * 10).await;
    assert_eq!(third.status("demo:moody").await, Status::Active, "the supervisor found it and tried");
    third.set_ill(true);
    third.call_until_quarantined("demo:moody").await;
    third.registry.clear_errors(&id("demo:moody")).await.unwrap();
    assert_eq!(third.status("demo:moody").await, Status::Registered);
    assert_eq!(third.try_call("demo:moody").await.unwrap_err().code(), "component-not-active");
    third.activate("demo:moody").await;
    assert_eq!(third.call_until_quarantined("demo:moody").await, 5, "what was cleared counts no more");
}

#[tokio::test]
async fn dependents_go_with_what_they_need_farthest_first_and_come_back_with_it() {
    let world = World::new().await;
    for lines in [MOODY, USER, TOP, "name demo:other\nversion 1.0.0"] {
        world.have(lines).await;
    }
    world.registry.activate_all().await.unwrap();
    world.steps.lock().unwrap().clear();
    world.registry.mark_error(&id("demo:moody"), "smells").await.unwrap();
    assert_eq!(*world.steps.lock().unwrap(), ["stop demo:moody", "stop demo:top", "stop demo:user"]);
    for (name, status) in
        [("demo:user", Status::Inactive), ("demo:top", Status::Inactive), ("demo:other", Status::Active)]
    {
        assert_eq!(world.status(name).await, status, "{name}");
    }
    let reasons = world.named("deactivated").await.into_iter().map(|event| match event {
        Event::Deactivated { component, reason, .. } => format!("{component}: {}", reason.unwrap()),
        _ => unreachable!(),
    });
    let reasons: Vec<_> = reasons.collect();
    assert_eq!(reasons[1], "demo:user: it needs demo:moody, which is in error");
    assert!(reasons[0].starts_with("demo:top: it needs demo:"), "{reasons:?}");
    assert_eq!(world.watched("demo:user").await.lost, Some(id("demo:moody")));

    world.steps.lock().unwrap().clear();
    world.activate("demo:moody").await;
    assert_eq!(*world.steps.lock().unwrap(), ["start demo:moody", "start demo:user", "start demo:top"]);
    assert_eq!(world.status("demo:top").await, Status::Active);
}

#[tokio::test]
async fn a_quarantine_takes_dependents_along_and_gives_them_back() {
    let world = World::new().await;
    for lines in [MOODY, USER, TOP] {
        world.have(lines).await;
    }
    world.registry.activate_all().await.unwrap();
    world.set_ill(true);
    world.call_until_quarantined("demo:moody").await;
    assert_eq!((world.status("demo:user").await, world.status("demo:top").await), (Status::Inactive, Status::Inactive));
    world.pass(SECOND * 10).await;
    assert_eq!((world.status("demo:user").await, world.status("demo:top").await), (Status::Active, Status::Active));
}

#[tokio::test]
async fn who_was_taken_out_of_service_by_somebody_does_not_come_back_by_itself() {
    let world = World::new().await;
    for lines in [MOODY, USER, TOP] {
        world.have(lines).await;
    }
    world.registry.activate_all().await.unwrap();
    world.registry.mark_error(&id("demo:moody"), "smells").await.unwrap();
    world.registry.deactivate(&[id("demo:user")], false).await;
    assert_eq!(world.watched("demo:user").await.lost, None);
    world.activate("demo:moody").await;
    assert_eq!(world.status("demo:user").await, Status::Inactive);
    assert_eq!(world.status("demo:top").await, Status::Inactive, "it still waits");
    world.activate("demo:user").await;
    assert_eq!(world.status("demo:top").await, Status::Active);
}

#[tokio::test]
async fn dependents_stay_where_the_setting_is_off() {
    let world = World::with_settings("[activation]\nfollow = false").await;
    world.have(MOODY).await;
    world.have(USER).await;
    world.registry.activate_all().await.unwrap();
    world.registry.mark_error(&id("demo:moody"), "smells").await.unwrap();
    assert_eq!(world.status("demo:user").await, Status::Active);
}

#[tokio::test]
async fn an_instance_that_was_discarded_is_made_anew_after_a_while_and_not_too_often() {
    let world = World::with_settings("[breaker]\nfailures = 50").await;
    world.have_with(MOODY, "[restart]\nmax_restarts = 2\nwindow = '1h'").await;
    world.activate("demo:moody").await;
    let is_live = async || world.registry.live_instances() == 1;
    for (restarts, delay) in [(1, SECOND), (2, SECOND * 2)] {
        world.set_ill(true);
        world.try_call("demo:moody").await.unwrap_err();
        world.set_ill(false);
        assert!(!is_live().await && world.watched("demo:moody").await.next_restart.is_some());
        world.pass(delay / 2).await;
        assert!(!is_live().await, "not before its time");
        world.pass(delay / 2).await;
        assert!(is_live().await);
        assert_eq!(world.watched("demo:moody").await.restarts, restarts);
    }
    assert_eq!(world.named("restarted").await.len(), 2);
    world.set_ill(true);
    world.try_call("demo:moody").await.unwrap_err();
    world.pass(SECOND * 4).await;
    let quarantine = world.watched("demo:moody").await.quarantine.unwrap();
    assert_eq!(quarantine.cause, "2 restarts within 3600s");
}

#[tokio::test]
async fn never_means_never_and_a_call_that_came_first_is_no_restart() {
    let world = World::new().await;
    world.have_with(MOODY, "[restart]\npolicy = 'never'").await;
    world.have_with(&MOODY.replace("moody", "quick"), "[restart]\ndelay = '1s'").await;
    for name in ["demo:moody", "demo:quick"] {
        world.activate(name).await;
        world.set_ill(true);
        world.try_call(name).await.unwrap_err();
        world.set_ill(false);
    }
    world.try_call("demo:quick").await.unwrap();
    world.pass(SECOND * 60).await;
    assert_eq!(world.registry.live_instances(), 1);
    assert!(world.named("restarted").await.is_empty());
}

#[tokio::test]
async fn an_activation_that_failed_is_tried_again_later_where_that_is_written_down() {
    let world = World::new().await;
    let lines = "name demo:late\nversion 1.0.0\nfail-start-while-ill";
    world.have_with(lines, "[restart]\npolicy = 'on-failure'\nmax_restarts = 3").await;
    world.have(&lines.replace("late", "asked")).await;
    world.set_ill(true);
    world.activate("demo:late").await;
    world.activate("demo:asked").await;
    world.pass(SECOND).await;
    assert_eq!(world.status("demo:late").await, Status::Error);
    world.set_ill(false);
    world.pass(SECOND * 2).await;
    assert_eq!(world.status("demo:late").await, Status::Active);
    world.pass(SECOND * 60).await;
    assert_eq!(world.status("demo:asked").await, Status::Error, "whoever asked was told");
}

#[tokio::test]
async fn an_activation_is_tried_as_often_as_the_settings_say_and_only_if_it_failed_as_such() {
    let world = World::with_settings("[activation]\nmax_retries = 2\nretry_delay = '1ms'").await;
    world.have("name demo:once\nversion 1.0.0\nfail-start-once").await;
    world.have("name demo:always\nversion 1.0.0\nfail-start").await;
    world.have("name demo:link\nversion 1.0.0\nfail-link").await;
    world.have("name demo:needy\nversion 1.0.0\nimport demo:gone/x").await;
    let report = world.activate("demo:once").await;
    assert_eq!((report.activated.len(), report.activated[0].attempts), (1, 2));
    world.activate("demo:always").await;
    let errors = async |name: &str| world.registry.errors(Some(&id(name)), 10).await.unwrap().len();
    assert_eq!((errors("demo:once").await, errors("demo:always").await), (1, 3));
    world.activate("demo:link").await;
    assert_eq!(errors("demo:link").await, 1, "what is not granted is not granted the next time");
    let report = world.activate("demo:needy").await;
    assert_eq!((report.failed[0].1.code(), errors("demo:needy").await), ("dependency", 0));
}

#[tokio::test]
async fn components_are_asked_how_they_are_and_only_the_edges_of_the_registry_are_told() {
    let world = World::with_settings("[health]\ninterval = '10s'\nthreshold = 60").await;
    for name in ["demo:a", "demo:b"] {
        let lines = format!("name {name}\nversion 1.0.0\nexport registry:component/health@1.0.0\nunhealthy-while-ill");
        world.have(&lines).await;
        world.activate(name).await;
    }
    world.registry.supervise().await.unwrap();
    world.registry.evict_instance(&id("demo:b")).await.unwrap();
    world.set_ill(true);
    for _ in 0..3 {
        world.pass(SECOND * 10).await;
    }
    let sick = async |name: &str| !world.registry.get(&id(name)).await.unwrap().entry.is_healthy();
    assert!(sick("demo:a").await && !sick("demo:b").await, "one without an instance is not asked");
    match world.named("health-dropped").await.as_slice() {
        [Event::HealthDropped { health, threshold, failing }] => {
            assert_eq!((health.healthy, health.total, *threshold), (1, 2, 60.0));
            assert_eq!((failing[0].component.as_str(), failing[0].error.as_str()), ("demo:a", "low on air"));
        }
        events => panic!("{events:?}"),
    }
    world.set_ill(false);
    for _ in 0..2 {
        world.pass(SECOND * 10).await;
    }
    assert_eq!((world.named("health-dropped").await.len(), world.named("health-restored").await.len()), (1, 1));
}
