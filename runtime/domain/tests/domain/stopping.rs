//! What deactivating and unregistering takes, and what stands in the way.

use domain::ErrorKind;
use domain::plan::{PlanError, StopPlan, plan_deactivation, plan_unregistration};

use crate::fake::{Fake, ids, show, show_waves};

/// Whether dependents are taken along, in words.
const ALONE: bool = false;
const CASCADE: bool = true;

fn shown(plan: &StopPlan) -> String {
    let blocked = plan.blocked.iter().map(|(id, error)| match error {
        PlanError::Dependents { dependents, .. } => format!("{} by {}", show([id]), show(dependents)),
        other => format!("{}: {}", show([id]), other.kind()),
    });
    let blocked = blocked.collect::<Vec<_>>().join(", ");
    let parts = [(show_waves(&plan.waves), ""), (show(&plan.unchanged), "unchanged: "), (blocked, "blocked: ")];
    let parts = parts.into_iter().filter(|(text, _)| !text.is_empty()).map(|(text, head)| format!("{head}{text}"));
    parts.collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn deactivating(shape: &str, targets: &str, cascade: bool, expected: &str) {
    assert_eq!(shown(&plan_deactivation(&Fake::of(shape), &ids(targets), cascade).unwrap()), expected);
}

#[track_caller]
fn unregistering(shape: &str, targets: &str, cascade: bool, expected: &str) {
    assert_eq!(shown(&plan_unregistration(&Fake::of(shape), &ids(targets), cascade).unwrap()), expected);
}

#[test]
fn refuses_while_active_components_need_it_and_names_them() {
    deactivating("+c:a +b:a +a", "a", ALONE, "blocked: a by b c");
    deactivating("c:a !b:a +a", "a", ALONE, "a");
    let plan = plan_deactivation(&Fake::of("+c:a +b:a +a"), &ids("a"), ALONE).unwrap();
    let error = &plan.blocked[0].1;
    assert_eq!(error.to_string(), "`t:a` is needed by active components: `t:b`, `t:c`");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "dependency"));
    assert_eq!(error.hints(), ["deactivate them first, or use --cascade to take them along"]);
}

#[test]
fn dependents_named_as_well_go_first() {
    deactivating("+d:b,c +c:a +b:a +a", "a b c d", ALONE, "d | b c | a");
}

#[test]
fn what_has_to_stay_keeps_what_it_needs() {
    // `top` is not named, so `mid` stays, so `low` stays; `free` goes.
    deactivating("+top:mid +mid:low +low +free", "low mid free", ALONE, "free; blocked: low by mid, mid by top");
}

#[test]
fn cascade_takes_along_all_that_need_it() {
    deactivating("+e:d +d:b,c +c:a +b:a +a +x", "a", CASCADE, "e | d | b c | a");
    deactivating("d:b +b:a +a", "a", CASCADE, "b | a");
    unregistering("d:b +b:a +a", "a", CASCADE, "d | b | a");
}

#[test]
fn what_is_not_active_is_left_alone_and_what_is_not_there_is_an_error() {
    deactivating("b +a", "b a nobody", ALONE, "a; unchanged: b; blocked: nobody: not-found");
}

#[test]
fn unregistering_heeds_dependents_of_any_status() {
    unregistering("c:a !b:a +a", "a", ALONE, "blocked: a by b c");
    unregistering("c:a b a", "b c", ALONE, "b c");
    let plan = plan_unregistration(&Fake::of("b:a a"), &ids("a"), ALONE).unwrap();
    assert_eq!(plan.blocked[0].1.to_string(), "`t:a` is needed by `t:b`");
    assert_eq!(plan.blocked[0].1.hints(), ["unregister them first, or use --cascade to take them along"]);
}

#[test]
fn a_cycle_in_damaged_state_can_be_taken_apart() {
    deactivating("+top:a +a:b +b:a,low +low", "low", CASCADE, "top | a b | low");
    unregistering("a:a", "a", ALONE, "a");
    unregistering("a:b b:a", "a", ALONE, "blocked: a by b");
    unregistering("a:b b:a", "a b", ALONE, "a b");
}

#[test]
fn a_long_list_of_dependents_is_cut_in_the_message() {
    let shape: String = (0..20).map(|n| format!("+n{n:02}:a ")).collect();
    let plan = plan_deactivation(&Fake::of(&format!("{shape} +a")), &ids("a"), ALONE).unwrap();
    let text = plan.blocked[0].1.to_string();
    assert!(text.ends_with("`t:n07` and 12 more"), "{text}");
}

#[test]
fn a_chain_of_a_hundred_thousand_stops_without_recursion() {
    let mut shape: String = "+n000000 ".to_owned();
    shape.extend((1..100_000).map(|n| format!("+n{n:06}:n{:06} ", n - 1)));
    let plan = plan_deactivation(&Fake::of(&shape), &ids("n000000"), CASCADE).unwrap();
    assert_eq!(plan.waves.len(), 100_000);
    assert_eq!(show(plan.order().take(2)), "n099999 n099998");
}
