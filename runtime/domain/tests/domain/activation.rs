//! What activating targets takes, and what stands in the way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::graph::path_text;
use domain::plan::{ActivationPlan, OrderError, PlanError, load_closure, order_all, plan_activation};
use domain::{ErrorKind, Status};

use crate::fake::{Fake, declared, entry, id, ids, show, show_waves};

fn plan(fake: &Fake, targets: &str) -> ActivationPlan {
    plan_activation(fake, &ids(targets)).unwrap()
}

/// Writes a plan on one line.
fn shown(plan: &ActivationPlan) -> String {
    let blocked: Vec<_> = plan.blocked.iter().map(|(id, error)| format!("{}: {}", show([id]), error.kind())).collect();
    let skipped: Vec<_> =
        plan.skipped.iter().map(|(id, because)| format!("{} for {}", show([id]), show([because]))).collect();
    [
        (show_waves(&plan.waves), ""),
        (show(&plan.already_active), "active: "),
        (blocked.join(", "), "blocked: "),
        (skipped.join(", "), "skipped: "),
    ]
    .into_iter()
    .filter(|(text, _)| !text.is_empty())
    .map(|(text, head)| format!("{head}{text}"))
    .collect::<Vec<_>>()
    .join("; ")
}

#[track_caller]
fn check(shape: &str, targets: &str, expected: &str) {
    assert_eq!(shown(&plan(&Fake::of(shape), targets)), expected);
}

#[test]
fn takes_the_targets_and_what_they_need_in_waves_by_id() {
    check("a", "a", "a");
    check("d:b,c c:a b:a a z", "d", "a | b c | d");
    check("d:b,c c:a b:a a z", "d z d", "a z | b c | d");
    check("top:z,mid mid:z z", "top", "z | mid | top");
    check("", "", "");
}

#[test]
fn reads_the_closure_and_nothing_else() {
    let mut fake = Fake::of("c:b b:a a");
    for n in 0..1_000 {
        fake.put(entry(&format!("other-{n}"), "1.0.0", Status::Registered));
    }
    plan(&fake, "c");
    assert_eq!(fake.reads.load(Ordering::Relaxed), 3);
}

#[test]
fn leaves_out_what_is_active_but_verifies_what_that_needs() {
    check("top:mid +mid:low +low", "top", "top; active: low mid");
    check("top:mid +mid:low low", "top", "low | top; active: mid");
    check("+top:mid mid", "top", "mid; active: top");
    check("+a", "a", "active: a");
    // An active component between two that are not takes no wave of its own.
    check("d:c,x +c:b b x", "d", "b x | d; active: c");
}

#[test]
fn tries_again_what_is_in_error() {
    check("!b:a !a", "b", "a | b");
}

#[test]
fn one_target_in_trouble_does_not_stop_the_others() {
    let mut fake = Fake::of("good:low bad:low,helper helper low");
    fake.change("bad", |entry| Arc::make_mut(&mut entry.dependencies).push(declared("low", "^2")));
    // `helper` is needed by nobody who can start.
    assert_eq!(shown(&plan(&fake, "good bad nobody")), "low | good; blocked: bad: invalid, nobody: not-found");
    assert_eq!(shown(&plan(&fake, "bad")), "blocked: bad: invalid");
}

#[test]
fn skips_what_needs_something_blocked_and_names_it() {
    let mut fake = Fake::of("e:d d:b,c c b:a a other");
    fake.change("a", |entry| Arc::make_mut(&mut entry.dependencies).push(declared("c", ">1")));
    assert_eq!(shown(&plan(&fake, "e c other")), "c other; blocked: a: invalid; skipped: b for a, d for a, e for a");
    // Through an active component as well, which itself stays what it is.
    fake.change("b", |entry| entry.status = Status::Active);
    assert_eq!(shown(&plan(&fake, "e")), "active: b; blocked: a: invalid; skipped: d for a, e for a");
}

#[test]
fn a_cycle_blocks_its_members_and_what_needs_them() {
    let fake = Fake::of("top:a a:b b:c c:a free");
    let plan = plan(&fake, "top free");
    assert_eq!(shown(&plan), "free; blocked: a: conflict, b: conflict, c: conflict; skipped: top for a");
    let (_, error) = &plan.blocked[0];
    assert_eq!(error.to_string(), "`t:a` is part of a circle: t:a → t:b → t:c → t:a");
    assert_eq!(error.code(), "circular-dependency");
    assert_eq!(error.hints(), ["remove the declared edge: `t:a` should not depend on `t:b`"]);
}

#[test]
fn a_cycle_of_active_components_is_blocked_too() {
    check("top:a +a:b +b:a", "top", "blocked: a: conflict, b: conflict; skipped: top for a");
    check("+a:a", "a", "blocked: a: conflict");
}

#[test]
fn an_edge_into_nothing_is_a_missing_dependency() {
    let fake = Fake::of("b:a a:gone");
    let plan = plan(&fake, "b");
    assert_eq!(shown(&plan), "blocked: a: not-found; skipped: b for a");
    assert_eq!(plan.blocked[0].1.to_string(), "`t:a` depends on `t:gone`, which is not registered");
}

/// The error that blocks `name`, with its kind and hints.
fn refusal(fake: &Fake, name: &str) -> (PlanError, String) {
    let plan = plan(fake, name);
    assert_eq!(plan.order().count(), 0);
    let (blocked, error) = plan.blocked.into_iter().next().unwrap();
    assert_eq!((&blocked, &blocked), (&id(name), error.component()));
    let text = format!("{}: {error}\n{}", error.kind(), error.hints().join("\n"));
    (error, text)
}

#[test]
fn says_what_nobody_provides() {
    let mut fake = Fake::default();
    fake.register("a", "1.0.0", "demo:log/sink@0.1.0 demo:x/y demo:x/z", "", "");
    insta::assert_snapshot!(refusal(&fake, "a").1, @r"
    not-found: `t:a` imports `demo:log/sink@0.1.0`, which nobody provides
    register a component that exports `demo:log/sink@0.1.0`
    also unresolved: `demo:x/y`, `demo:x/z`
    ");
    fake.register("b", "1.0.0", "", "", "[dependencies]\n'acme:gone' = '^1'");
    insta::assert_snapshot!(refusal(&fake, "b").1, @r"
    not-found: `t:b` depends on `acme:gone`, which is not registered
    register `acme:gone`, or remove it from the dependencies of `t:b`
    ");
    insta::assert_snapshot!(refusal(&fake, "nobody").1, @r"
    not-found: the component `t:nobody` is not registered
    `runtime list` shows what is registered
    ");
}

#[test]
fn says_who_could_provide_and_how_to_choose() {
    let mut fake = Fake::default();
    fake.register("log-a", "1.0.0", "", "demo:log/sink@0.1.2", "");
    fake.register("log-b", "1.0.0", "", "demo:log/sink@0.1.3", "");
    fake.register("app", "1.0.0", "demo:log/sink@0.1.0", "", "");
    insta::assert_snapshot!(refusal(&fake, "app").1, @r#"
    conflict: `t:app` imports `demo:log/sink@0.1.0`, which 2 components provide: `t:log-a`, `t:log-b`
    choose one in the component manifest: [bind] "demo:log/sink@0.1.0" = "t:log-a"
    "#);
    fake.register("app", "1.0.0", "demo:log/sink@0.1.0", "", "[bind]\n'demo:log/sink' = 't:log-b'");
    assert_eq!(shown(&plan(&fake, "app")), "log-b | app");
}

#[test]
fn a_later_provider_does_not_take_over() {
    let mut fake = Fake::default();
    fake.register("log-b", "1.0.0", "", "demo:log/sink@0.1.2", "");
    fake.register("app", "1.0.0", "demo:log/sink@0.1.0", "", "");
    fake.register("log-a", "1.0.0", "", "demo:log/sink@0.1.9", "");
    assert_eq!(shown(&plan(&fake, "app")), "log-b | app");
}

#[test]
fn says_what_is_wrong_with_a_binding() {
    let mut fake = Fake::default();
    fake.register("other", "1.0.0", "", "", "");
    fake.register("a", "1.0.0", "demo:log/sink", "", "[bind]\n'demo:log/sink' = 't:other'");
    insta::assert_snapshot!(refusal(&fake, "a").1, @r"
    invalid: `t:a` binds `demo:log/sink` to `t:other`, which does not provide it
    bind `demo:log/sink` to a component that exports it, or remove it from [bind]
    ");
    fake.register("b", "1.0.0", "demo:log/sink", "", "[bind]\n'demo:log/sink' = 't:gone'");
    insta::assert_snapshot!(refusal(&fake, "b").1, @r"
    not-found: `t:b` binds `demo:log/sink` to `t:gone`, which is not registered
    register `t:gone`, or change [bind] in the component manifest
    ");
}

#[test]
fn says_which_version_is_there_and_which_is_wanted() {
    let mut fake = Fake::default();
    fake.register("base", "2.1.0", "", "", "");
    fake.register("app", "1.0.0", "", "", "[dependencies]\n't:base' = '^1'");
    let (error, text) = refusal(&fake, "app");
    insta::assert_snapshot!(text, @r"
    invalid: `t:app` depends on `t:base` in a version of `^1`, but 2.1.0 is registered
    register a version of `t:base` that satisfies `^1`
    ");
    assert_eq!((error.code(), error.kind()), ("dependency", ErrorKind::Invalid));
    fake.register("base", "1.9.0", "", "", "");
    assert_eq!(shown(&plan(&fake, "app")), "base | app");
}

#[test]
fn long_lists_and_paths_stay_readable() {
    let members: Vec<_> = (0..500).map(|n| format!("m{n:03}:m{:03}", (n + 1) % 500)).collect();
    let (error, text) = refusal(&Fake::of(&members.join(" ")), "m000");
    assert!(matches!(&error, PlanError::Cycle { cycle, .. } if cycle.path.len() == 501));
    assert!(text.len() < 400 && text.contains("→ … 489 more … →"), "{text}");
    assert_eq!(path_text(&ids("a b c")), "t:a → t:b → t:c");
}

/// Components of which each needs the one before it.
fn chain(length: usize) -> Fake {
    let mut fake = Fake::default();
    for n in 0..length {
        let mut entry = entry(&format!("n{n:06}"), "1.0.0", Status::Registered);
        Arc::make_mut(&mut entry.dependencies).extend((n > 0).then(|| declared(&format!("n{:06}", n - 1), "*")));
        fake.put(entry);
    }
    fake
}

#[test]
fn a_chain_of_a_hundred_thousand_is_walked_without_recursion() {
    let found = plan(&chain(100_000), "n099999");
    assert_eq!((found.waves.len(), found.order().count()), (100_000, 100_000));
}

#[test]
fn a_long_ring_is_found_without_recursion() {
    let mut fake = chain(20_000);
    fake.change("n000000", |entry| Arc::make_mut(&mut entry.dependencies).push(declared("n019999", "*")));
    assert_eq!(plan(&fake, "n000005").blocked.len(), 20_000);
    assert!(matches!(order_all(&fake), Err(OrderError::Cycle(cycle)) if cycle.path.len() == 20_001));
}

#[test]
fn orders_a_whole_registry_page_by_page() {
    let mut fake = Fake::default();
    for n in 0..3_000 {
        let mut entry = entry(&format!("n{n:04}"), "1.0.0", Status::Inactive);
        Arc::make_mut(&mut entry.dependencies).extend((n % 3 != 0).then(|| declared(&format!("n{:04}", n - 1), "*")));
        fake.put(entry);
    }
    let waves = order_all(&fake).unwrap();
    assert_eq!(waves.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000, 1_000]);
    assert_eq!(show(&waves[1][..2]), "n0001 n0004");
}

#[test]
fn a_closure_tells_what_is_missing() {
    let closure = load_closure(&Fake::of("b:a,gone a z"), &ids("b nobody")).unwrap();
    assert_eq!(show(closure.graph.nodes()), "a b");
    assert_eq!(show(&closure.missing), "nobody");
    assert_eq!(show(closure.dangling.iter().map(|edge| &edge.dependency)), "gone");
}
