//! What events make of an entry.

use std::collections::BTreeSet;

use domain::entry::{Need, Unresolved, UnresolvedReason};
use domain::reduce::{apply, changed_terms, terms};
use domain::supervision::{Quarantine, Relapse};
use domain::{Actor, ComponentId, Entry, Event, Failure, FailureKind, Fusion, Grant, Phase, Record, Status, Timestamp};

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
        retry_after_ms: None,
        by_caller: false,
    };
    Event::Failed { component: component.clone(), failure: Box::new(failure), count: 1, keep: None }
}

#[test]
fn an_activation_leaves_no_last_error_but_the_count_of_all() {
    let id = id("a");
    let broken = after(failed(&id), Some(entry("a", "1.0.0", Status::Error)));
    assert_eq!(broken.last_error.as_deref(), Some("not today"));
    let activated = Event::Activated {
        component: id.clone(),
        old_status: Status::Error,
        revision: 1,
        duration_us: 1,
        fuel: 1,
        asked: None,
        lock: vec![],
    };
    let active = after(activated, Some(broken));
    assert_eq!((active.status, active.last_error.as_deref(), active.error_count), (Status::Active, None, 1));
    // What fails afterwards is how the entry stands again.
    let again = after(failed(&id), Some(active));
    assert_eq!((again.last_error.as_deref(), again.error_count), (Some("not today"), 2));
}

fn quarantined(component: &ComponentId) -> Event {
    let quarantine = Quarantine {
        since: Timestamp::default(),
        probe_at: Timestamp::from_micros(10),
        round: 1,
        cause: "5 failures within 60s".to_owned(),
    };
    let (old_status, error) = (Status::Active, "not today".to_owned());
    Event::Quarantined { component: component.clone(), old_status, error, quarantine, refused: 0 }
}

#[test]
fn a_quarantine_lasts_until_something_else_is_said_of_the_component() {
    let id = id("a");
    let active = after(failed(&id), Some(entry("a", "1.0.0", Status::Active)));
    let kept = after(quarantined(&id), Some(active.clone()));
    assert_eq!((kept.status, kept.quarantine().map(|quarantine| quarantine.round)), (Status::Error, Some(1)));
    assert_eq!(
        after(failed(&id), Some(kept.clone())).quarantine(),
        kept.quarantine(),
        "a trial that failed is only that"
    );
    let relapse = Relapse { round: 1, until: Timestamp::from_micros(99), proven: true };
    let recovered = Event::Recovered { component: id.clone(), old_status: Status::Error, relapse, refused: 3 };
    let recovered = after(recovered, Some(kept.clone()));
    let watch = recovered.watch.clone().unwrap();
    assert_eq!((recovered.status, recovered.quarantine(), watch.relapse), (Status::Active, None, Some(relapse)));
    assert_eq!(watch.counts_after, 1, "what failed before counts no more");
    let cleared = Event::ErrorsCleared { component: id.clone(), old_status: Status::Error, history: true };
    let cleared = after(cleared, Some(kept.clone()));
    assert_eq!((cleared.status, cleared.quarantine()), (Status::Registered, None));
    let marked = Event::Errored { component: id.clone(), old_status: Status::Error, error: "by hand".to_owned() };
    assert_eq!(after(marked, Some(kept.clone())).quarantine(), None, "nobody tries what somebody marked");
    let activated = Event::Activated {
        component: id,
        old_status: Status::Error,
        revision: 1,
        duration_us: 1,
        fuel: 1,
        asked: None,
        lock: Vec::new(),
    };
    assert_eq!(after(activated, Some(kept)).quarantine(), None);
}

#[test]
fn who_lost_a_dependency_remembers_it_until_it_is_active_or_told_to_stay() {
    let a = id("a");
    let deactivated = |lost: Option<&str>| Event::Deactivated {
        component: a.clone(),
        old_status: Status::Active,
        reason: None,
        lost: lost.map(id),
    };
    let lost = after(deactivated(Some("b")), Some(entry("a", "1.0.0", Status::Active)));
    assert_eq!((lost.status, lost.lost()), (Status::Inactive, Some(&id("b"))));
    let stays = after(deactivated(None), Some(lost.clone()));
    assert_eq!((stays.lost(), stays.watch.as_ref()), (None, None), "nothing to remember is no memory");
    let activated = Event::Activated {
        component: a.clone(),
        old_status: Status::Inactive,
        revision: 1,
        duration_us: 1,
        fuel: 1,
        asked: None,
        lock: Vec::new(),
    };
    assert_eq!(after(activated, Some(lost)).lost(), None);
}

#[test]
fn terms_that_change_with_the_state_are_those_that_differ() {
    let first = entry("a", "1.0.0", Status::Registered);
    let mut all: Vec<Entry> = Vec::new();
    for status in Status::ALL {
        for probe in [None, Some(false), Some(true)] {
            all.push(Entry { status, probe, ..first.clone() });
        }
    }
    let unresolved = Unresolved { need: Need::Component(id("b")), reason: UnresolvedReason::Missing };
    let waiting = Entry { unresolved: vec![unresolved], ..first.clone() };
    let other = entry("a", "1.1.0", Status::Registered);
    for (before, after) in all.iter().flat_map(|before| all.iter().map(move |after| (before, after))) {
        let (old, new) = (terms(before, &[]), terms(after, &[]));
        let changed = changed_terms(before, after).unwrap();
        let term = |index: &str, word: &str| (index.to_owned(), word.to_owned());
        assert_eq!(changed.iter().map(|c| term(c.index, c.old)).collect::<BTreeSet<_>>(), &old - &new);
        assert_eq!(changed.iter().map(|c| term(c.index, c.new)).collect::<BTreeSet<_>>(), &new - &old);
        assert_eq!(changed_terms(before, &waiting), None);
        assert_eq!(changed_terms(&other, after), None);
    }
}

#[test]
fn grants_hold_for_the_entry_until_they_are_revoked_or_it_is_gone() {
    let id = id("a");
    let grant = |text: &str| text.parse::<Grant>().unwrap();
    let granted = |grants: &[&str]| Event::Granted {
        component: id.clone(),
        grants: grants.iter().map(|text| grant(text)).collect(),
        rule: Some("tests".to_owned()),
    };
    let texts = |entry: &Entry| entry.grants.iter().map(|granted| granted.grant.full()).collect::<Vec<_>>();
    let first = after(granted(&["env A=1", "clocks"]), Some(entry("a", "1.0.0", Status::Active)));
    assert_eq!((first.grants[0].by.clone(), first.grants[0].rule.as_deref()), (Actor::System, Some("tests")));
    let second = after(granted(&["env A=2"]), Some(first));
    assert_eq!(texts(&second), ["clocks precise", "env A=2"]);
    // An entry is read by programs of before and after: without grants it is as it was.
    let text = serde_json::to_string(&entry("a", "1.0.0", Status::Active)).unwrap();
    assert!(!text.contains("grants"), "{text}");
    let read: Entry = serde_json::from_str(&serde_json::to_string(&second).unwrap()).unwrap();
    assert_eq!(read, second);
    // By its place, whatever its value was.
    let revoked = Event::Revoked { component: id.clone(), grants: vec![grant("env A=other")] };
    assert_eq!(revoked.version(), 2);
    let third = after(revoked, Some(second));
    assert_eq!(texts(&third), ["clocks precise"]);
    let gone = Record {
        seq: 1,
        at: Timestamp::default(),
        actor: Actor::System,
        version: 1,
        event: Event::Unregistered { component: id.clone() },
    };
    assert_eq!(apply(&gone, Some(third)), None);
}

#[test]
fn a_fusion_holds_for_the_entry_until_it_is_undone() {
    let with = vec![id("b"), id("c")];
    let fused = Event::Fused { component: id("a"), with: with.clone(), shares_grants: true };
    let unfused = |apart| Event::Unfused { component: id("a"), apart };
    assert_eq!((fused.version(), unfused(false).version()), (3, 3));
    let before = entry("a", "1.0.0", Status::Active);
    let first = after(fused, Some(before.clone()));
    assert_eq!(first.fusion, Some(Fusion { with, shares_grants: true }));
    let read: Entry = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
    assert_eq!(read, first);
    assert_eq!(after(unfused(true), Some(first.clone())).fusion, Some(Fusion::default()));
    assert_eq!(after(unfused(false), Some(first)).fusion, None);
    assert!(!serde_json::to_string(&before).unwrap().contains("fusion"));
}
