//! Which revision of a provider a need leads to, and what is beside the one in service.

use domain::event::Kept;
use domain::plan::{load_all, plan_activation, plan_deactivation};
use domain::reduce::{apply, index, terms};
use domain::resolve::{NOTHING_EXPECTED, Overlay, resolve};
use domain::{Actor, ComponentId, Event, Record, Status, Timestamp};

use crate::fake::{Fake, id, ids, show, show_waves};

/// Where the needs of `name` lead now, and how many are not met.
fn leads(fake: &Fake, name: &str) -> String {
    let entry = &fake.entries[&id(name)];
    let unmet = if entry.unresolved.is_empty() { String::new() } else { format!("{} unmet", entry.unresolved.len()) };
    [show(&entry.dependency_ids()), unmet].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// A log in three versions, each with an interface of its own, the last of them in service.
fn logs() -> Fake {
    let mut fake = Fake::default();
    fake.register("log", "1.0.0", "", "t:log/sink@1.0.0", "");
    fake.next("log", "1.1.0", "t:log/sink@1.1.0");
    fake.next("log", "2.0.0", "t:log/sink@2.0.0");
    fake
}

#[test]
fn what_is_in_service_serves_wherever_it_fits_and_else_the_newest_that_does() {
    let mut fake = logs();
    fake.register("new", "1.0.0", "t:log/sink@2.0.0", "", "");
    fake.register("old", "1.0.0", "t:log/sink@1.0.0", "", "");
    fake.register("none", "1.0.0", "t:log/sink@3.0.0", "", "");
    assert_eq!((leads(&fake, "new"), leads(&fake, "old")), ("log".to_owned(), "log@1.1.0".to_owned()));
    assert_eq!(leads(&fake, "none"), "1 unmet");
    // It comes into service, and is beside nobody any more.
    fake.next("log", "1.2.0", "t:log/sink@1.2.0");
    assert_eq!((leads(&fake, "new"), leads(&fake, "old")), ("log@2.0.0".to_owned(), "log".to_owned()));
}

#[test]
fn one_that_is_active_beside_it_goes_before_newer_ones() {
    let mut fake = logs();
    fake.set_beside("log", "1.0.0", Status::Active);
    fake.register("old", "1.0.0", "t:log/sink@1.0.0", "", "");
    assert_eq!(leads(&fake, "old"), "log@1.0.0");
    // One that is set there and not active is like any other.
    fake.set_beside("log", "1.0.0", Status::Inactive);
    fake.register("other", "1.0.0", "t:log/sink@1.0.0", "", "");
    assert_eq!(leads(&fake, "other"), "log@1.1.0");
}

#[test]
fn a_declared_range_decides_for_imports_from_that_component_as_well() {
    let mut fake = Fake::default();
    fake.register("log", "1.0.0", "", "t:log/sink@1.0.0", "");
    fake.next("log", "2.0.0", "t:log/sink@1.0.0");
    let range = |range: &str| format!("[dependencies]\n\"t:log\" = \"{range}\"");
    fake.register("old", "1.0.0", "t:log/sink@1.0.0", "", &range("^1"));
    fake.register("new", "1.0.0", "t:log/sink@1.0.0", "", &range(">=1"));
    fake.register("none", "1.0.0", "t:log/sink@1.0.0", "", &range("^7"));
    assert_eq!((leads(&fake, "old"), leads(&fake, "new")), ("log@1.0.0".to_owned(), "log".to_owned()));
    // What no revision meets is not met; the import has who exports it.
    assert_eq!(leads(&fake, "none"), "log, 1 unmet");
    assert_eq!(fake.entries[&id("old")].dependencies.len(), 2);
}

#[test]
fn two_of_one_version_are_not_side_by_side() {
    let mut fake = Fake::default();
    fake.register("log", "1.0.0", "", "t:log/sink@1.0.0", "");
    fake.register("old", "1.0.0", "t:log/sink@1.0.0", "", "");
    fake.next("log", "1.0.0", "t:log/sink@2.0.0");
    assert_eq!(leads(&fake, "old"), "1 unmet");
}

#[test]
fn without_more_beside_those_stay_that_are_led_there_already() {
    let fake = {
        let mut fake = logs();
        fake.register("old", "1.0.0", "t:log/sink@1.0.0", "", "");
        fake
    };
    let old = &fake.entries[&id("old")];
    let needs = |previous| {
        let state = Overlay::new(&fake, &NOTHING_EXPECTED).without_more_beside();
        let resolution = resolve(&state, &old.id, &old.revision, previous).unwrap();
        (resolution.dependencies.len(), resolution.unresolved.len())
    };
    assert_eq!((needs(&[]), needs(&old.dependencies)), ((0, 1), (1, 0)));
}

#[test]
fn plans_take_a_revision_for_a_component_and_all_of_a_component_stop_together() {
    let mut fake = logs();
    fake.register("old", "1.0.0", "t:log/sink@1.0.0", "", "");
    fake.set_beside("log", "1.1.0", Status::Registered);
    let plan = plan_activation(&fake, &ids("old")).unwrap();
    assert_eq!(show_waves(&plan.waves), "log@1.1.0 | old");
    for name in ["log", "log@1.1.0", "old"] {
        let id = ComponentId::read(&format!("t:{name}")).unwrap();
        let mut entry = (*fake.entries[&id]).clone();
        entry.status = Status::Active;
        fake.put(entry);
    }
    let alone = plan_deactivation(&fake, &ids("log"), false).unwrap();
    assert_eq!((show_waves(&alone.waves), alone.blocked.len()), (String::new(), 1));
    assert_eq!(alone.blocked[0].1.to_string(), "`t:log` is needed by active components: `t:old`");
    let all = plan_deactivation(&fake, &ids("log"), true).unwrap();
    assert_eq!(show_waves(&all.waves), "old | log log@1.1.0");
    assert!(load_all(&fake).unwrap().dangling.is_empty());
}

#[test]
fn one_that_stays_active_takes_along_how_it_was_activated_and_is_found_by_its_entry_alone() {
    let beside = id("log").beside(&"1.0.0".parse().unwrap());
    let fake = logs();
    let record = |event| Record { seq: 7, at: Timestamp::default(), actor: Actor::System, version: 5, event };
    let set = |kept| Event::SetBeside {
        component: beside.clone(),
        revision: fake.entries[&id("log")].revision.clone(),
        dependencies: vec![],
        unresolved: vec![],
        grants: vec![],
        kept,
    };
    assert_eq!(apply(&record(set(None)), None).unwrap().status, Status::Registered);
    let kept = apply(&record(set(Some(Box::<Kept>::default()))), None).unwrap();
    assert_eq!((kept.status, &kept.id), (Status::Active, &beside));
    let found = terms(&kept, &["author".to_owned()]);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(index::BESIDE.to_owned(), "t:log".to_owned())]);
    assert!(set(None).version() == 5 && Event::LeftBeside { component: beside.clone() }.version() == 5);
    // Whatever names such a revision is of that form.
    assert_eq!(
        Event::ErrorsCleared { component: beside.clone(), old_status: Status::Error, history: true }.version(),
        5
    );
    assert!(apply(&record(Event::LeftBeside { component: beside }), Some(kept)).is_none());
}

#[test]
fn an_entry_is_found_by_what_only_its_other_revisions_export() {
    let fake = logs();
    let keys = |of: &str| {
        let terms = terms(&fake.entries[&id("log")], &[]).into_iter();
        terms.filter(|(index, _)| index == of).map(|(_, key)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys(index::PROVIDES), ["t:log/sink@2"]);
    assert_eq!(keys(index::PROVIDES_ELSEWHERE), ["t:log/sink@1"]);
}
