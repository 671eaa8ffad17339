//! What events make of an entry.

use domain::reduce::apply;
use domain::{Actor, ComponentId, Entry, Event, Failure, FailureKind, Phase, Record, Status, Timestamp};

use crate::fake::{entry, id};

fn after(event: Event, entry: Option<Entry>) -> Entry {
    apply(&Record { seq: 1, at: Timestamp::default(), actor: Actor::System, version: 1, event }, entry).unwrap()
}

fn failed(component: &ComponentId) -> Event {
    let failure = Failure {
        component: component.clone(),
        revision: 1,
        at: Timestamp::default(),
        phase: Phase::Activate,
        kind: FailureKind::Trap,
        message: "not today".to_owned(),
        function: None,
        backtrace: Vec::new(),
        fuel: None,
        callers: Vec::new(),
    };
    Event::Failed { component: component.clone(), failure: Box::new(failure), count: 1 }
}

#[test]
fn an_activation_leaves_no_last_error_but_the_count_of_all() {
    let id = id("a");
    let broken = after(failed(&id), Some(entry("a", "1.0.0", Status::Error)));
    assert_eq!(broken.last_error.as_deref(), Some("not today"));
    let activated =
        Event::Activated { component: id.clone(), old_status: Status::Error, revision: 1, duration_us: 1, fuel: 1 };
    let active = after(activated, Some(broken));
    assert_eq!((active.status, active.last_error.as_deref(), active.error_count), (Status::Active, None, 1));
    // What fails afterwards is how the entry stands again.
    let again = after(failed(&id), Some(active));
    assert_eq!((again.last_error.as_deref(), again.error_count), (Some("not today"), 2));
}
