//! Who goes with a component that is gone, and in which order.

use domain::ComponentId;
use domain::supervision::lost_with;
use proptest::prelude::*;

use crate::fake::{Fake, id, show};

#[track_caller]
fn check(shape: &str, gone: &str, expected: &str) {
    let lost = lost_with(&Fake::of(shape), &id(gone)).unwrap();
    let order: Vec<ComponentId> = lost.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(show(&order), expected);
}

#[test]
fn those_that_are_needed_go_after_those_that_need_them() {
    check("+c:b +b:a !a", "a", "c b");
    check("+d:b,c +c:a +b:a !a", "a", "d c b");
    check("+b:a +c !a", "a", "b");
    check("+a", "a", "");
}

#[test]
fn what_is_not_active_is_left_alone_and_what_needs_it_too() {
    check("+c:b b:a !a", "a", "");
    check("c:b +b:a !a", "a", "b");
}

#[test]
fn a_component_that_is_not_registered_any_more_is_lost_like_any_other() {
    check("+c:b +b:a", "a", "c b");
}

#[test]
fn each_is_told_which_of_its_needs_it_loses() {
    let lost = lost_with(&Fake::of("+c:b +b:a !a"), &id("a")).unwrap();
    assert_eq!(lost, [(id("c"), id("b")), (id("b"), id("a"))]);
    let lost = lost_with(&Fake::of("+c:a,b +b:a !a"), &id("a")).unwrap();
    assert_eq!(lost, [(id("c"), id("a")), (id("b"), id("a"))]);
}

#[test]
fn a_chain_of_a_hundred_thousand_is_walked_without_recursion_and_each_is_read_a_few_times() {
    let count = 100_000;
    let shape: Vec<_> = (1..count).map(|n| format!("+c{n}:c{}", n - 1)).collect();
    let fake = Fake::of(&format!("!c0 {}", shape.join(" ")));
    let lost = lost_with(&fake, &id("c0")).unwrap();
    assert_eq!((lost.len(), &lost[0].0), (count - 1, &id(&format!("c{}", count - 1))));
    assert!(fake.reads.load(std::sync::atomic::Ordering::Relaxed) < 3 * count);
}

proptest! {
    #[test]
    fn nobody_goes_before_those_that_need_it_or_twice(edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..40)) {
        // A component needs only those with smaller numbers, so that there are no circles.
        let needs = |n: usize| {
            let on = edges.iter().filter(|(one, other)| (*one).max(*other) == n && one != other);
            on.map(|(one, other)| format!("n{}", one.min(other))).collect::<Vec<_>>().join(",")
        };
        let shape: Vec<_> = (1..12).map(|n| format!("+n{n}:{}", needs(n))).collect();
        let fake = Fake::of(&format!("!n0 {}", shape.join(" ")));
        let order: Vec<_> = lost_with(&fake, &id("n0")).unwrap().into_iter().map(|(id, _)| id).collect();
        for (place, lost) in order.iter().enumerate() {
            prop_assert!(!order[..place].contains(lost));
            prop_assert!(fake.entries[lost].dependency_ids().iter().all(|on| !order[..place].contains(on)));
        }
        for (other, entry) in &fake.entries {
            let loses = entry.dependency_ids().iter().any(|on| *on == id("n0") || order.contains(on));
            prop_assert_eq!(order.contains(other), loses, "{}", other);
        }
    }
}
