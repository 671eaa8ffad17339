//! What holds for every graph, whatever it looks like.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::graph::{Graph, GraphEdge};
use domain::plan::{plan_activation, plan_deactivation, plan_unregistration};
use domain::{ComponentId, Status};
use proptest::prelude::*;

use crate::fake::{Fake, declared, entry, id};

fn name(number: usize) -> String {
    // Ids that sort otherwise than the numbers, so that the order by id is not the order of making.
    format!("n{:04}", (number * 7_919) % 10_007)
}

fn edge(dependent: usize, dependency: usize, declared: bool) -> GraphEdge {
    let label = if declared { "depends_on".to_owned() } else { format!("t:p{dependency}/i") };
    GraphEdge { dependent: id(&name(dependent)), dependency: id(&name(dependency)), label: label.into(), declared }
}

/// A graph without cycles: every node needs up to three of those before it.
fn dag(nodes_max: usize) -> impl Strategy<Value = (usize, Vec<(usize, usize, bool)>)> {
    (1..=nodes_max).prop_flat_map(|nodes| {
        let edges = prop::collection::vec((0..nodes, any::<prop::sample::Index>(), any::<bool>()), 0..=nodes * 3);
        let edges = edges.prop_map(|edges| {
            let before = |(from, pick, declared): (usize, prop::sample::Index, bool)| {
                (from > 0).then(|| (from, pick.index(from), declared))
            };
            edges.into_iter().filter_map(before).collect()
        });
        (Just(nodes), edges)
    })
}

/// Any graph: cycles, edges of a node to itself, several between the same two.
fn any_graph(nodes_max: usize) -> impl Strategy<Value = (usize, Vec<(usize, usize, bool)>)> {
    (1..=nodes_max)
        .prop_flat_map(|nodes| (Just(nodes), prop::collection::vec((0..nodes, 0..nodes, any::<bool>()), 0..=nodes * 2)))
}

fn build(nodes: usize, edges: &[(usize, usize, bool)]) -> Graph {
    Graph::new((0..nodes).map(|n| id(&name(n))), edges.iter().map(|(from, to, declared)| edge(*from, *to, *declared)))
}

fn status(seed: u8) -> Status {
    match seed % 4 {
        0 => Status::Active,
        1 => Status::Inactive,
        2 => Status::Error,
        _ => Status::Registered,
    }
}

fn registry(nodes: usize, edges: &[(usize, usize, bool)], seeds: &[u8]) -> Fake {
    let mut fake = Fake::default();
    for n in 0..nodes {
        let mut entry = entry(&name(n), "1.2.3", status(seeds[n % seeds.len()]));
        let needs: BTreeSet<_> = edges.iter().filter(|(from, _, _)| *from == n).map(|(_, to, _)| *to).collect();
        entry.dependencies = Arc::new(needs.iter().map(|to| declared(&name(*to), "^1")).collect());
        fake.put(entry);
    }
    fake
}

fn places<'a>(order: impl IntoIterator<Item = &'a ComponentId>) -> BTreeMap<&'a ComponentId, usize> {
    order.into_iter().zip(0..).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn waves_of_a_large_graph_are_complete_sound_earliest_and_ordered((nodes, edges) in dag(5_000)) {
        let graph = build(nodes, &edges);
        let waves = graph.waves().unwrap();
        let wave_of: BTreeMap<_, _> =
            waves.iter().enumerate().flat_map(|(n, wave)| wave.iter().map(move |id| (id, n))).collect();
        prop_assert_eq!(wave_of.len(), graph.node_count());
        prop_assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), graph.node_count());
        let mut earliest: BTreeMap<&ComponentId, usize> = BTreeMap::new();
        for edge in graph.edges() {
            prop_assert!(wave_of[edge.dependency] < wave_of[edge.dependent]);
            let at = earliest.entry(edge.dependent).or_default();
            *at = (*at).max(wave_of[edge.dependency] + 1);
        }
        for (id, wave) in &wave_of {
            prop_assert_eq!(earliest.get(id).copied().unwrap_or(0), *wave);
        }
        prop_assert!(waves.iter().all(|wave| wave.is_sorted()));
        prop_assert_eq!(graph.order().unwrap(), waves.concat());
        prop_assert_eq!(graph.waves_despite_cycles(), waves);
        prop_assert!(graph.cycles().is_empty());
    }

    #[test]
    fn who_numbers_the_components_gets_the_same_waves((nodes, edges) in prop_oneof![dag(40), any_graph(40)]) {
        let graph = build(nodes, &edges);
        let ids: Vec<_> = graph.nodes().cloned().collect();
        let place = |id: &ComponentId| ids.binary_search(id).unwrap() as u32;
        let numbered = graph.edges().map(|edge| (place(edge.dependent), place(edge.dependency)));
        let beyond = (0, ids.len() as u32);
        let waves = Graph::of_numbered(ids.clone(), numbered.chain([beyond]).collect::<Vec<_>>()).numbered_waves();
        let named = |wave: Vec<usize>| wave.into_iter().map(|place| ids[place].clone()).collect::<Vec<_>>();
        prop_assert_eq!(waves.map(|waves| waves.into_iter().map(named).collect()), graph.waves().ok());
    }

    #[test]
    fn the_order_does_not_depend_on_how_the_graph_was_written((nodes, mut edges) in dag(300)) {
        let first = build(nodes, &edges).waves().unwrap();
        edges.reverse();
        prop_assert_eq!(first, build(nodes, &edges).waves().unwrap());
    }

    #[test]
    fn every_cycle_is_one_and_cutting_each_leaves_none((nodes, edges) in any_graph(60)) {
        let graph = build(nodes, &edges);
        let all: BTreeSet<_> = graph.edges().map(|e| (e.dependent.clone(), e.dependency.clone())).collect();
        let mut cut = BTreeSet::new();
        for cycle in graph.cycles() {
            prop_assert!(cycle.path.len() >= 2);
            prop_assert_eq!(cycle.path.first(), cycle.path.last());
            let steps: BTreeSet<_> = cycle.path.windows(2).map(|w| (w[0].clone(), w[1].clone())).collect();
            prop_assert_eq!(steps.len(), cycle.path.len() - 1, "a component twice on the way");
            prop_assert!(steps.is_subset(&all));
            let pair = (cycle.cut.dependent.clone(), cycle.cut.dependency.clone());
            prop_assert!(steps.contains(&pair));
            // A declared edge is named wherever cutting one is enough.
            let soft = |step: &(ComponentId, ComponentId)| {
                graph.edges().filter(|e| (e.dependent, e.dependency) == (&step.0, &step.1)).all(|e| e.declared)
            };
            prop_assert_eq!(cycle.cut.declared, steps.iter().any(soft));
            cut.insert(pair);
        }
        prop_assert_eq!(graph.waves().is_err(), !cut.is_empty());
        let kept = graph.edges().filter(|e| !cut.contains(&(e.dependent.clone(), e.dependency.clone())));
        let kept: Vec<_> = kept
            .map(|e| GraphEdge {
                dependent: e.dependent.clone(),
                dependency: e.dependency.clone(),
                label: e.label.into(),
                declared: e.declared,
            })
            .collect();
        prop_assert!(Graph::new([], kept).waves().is_ok());
    }

    #[test]
    fn an_order_despite_cycles_has_everyone_once_and_never_a_dependent_too_early((nodes, edges) in any_graph(60)) {
        let graph = build(nodes, &edges);
        let waves = graph.waves_despite_cycles();
        let wave_of: BTreeMap<_, _> =
            waves.iter().enumerate().flat_map(|(n, wave)| wave.iter().map(move |id| (id, n))).collect();
        prop_assert_eq!(waves.concat().len(), graph.node_count());
        for edge in graph.edges() {
            let circle = graph.path(edge.dependency, edge.dependent).is_some();
            prop_assert!(circle || wave_of[edge.dependency] < wave_of[edge.dependent]);
            prop_assert!(!circle || wave_of[edge.dependency] == wave_of[edge.dependent]);
        }
    }

    #[test]
    fn a_way_is_a_way_and_exists_exactly_when_one_needs_the_other((nodes, edges) in any_graph(40), a in 0..40usize, b in 0..40usize) {
        let graph = build(nodes, &edges);
        let (from, to) = (id(&name(a % nodes)), id(&name(b % nodes)));
        let needed = graph.dependencies_of(&from, true);
        prop_assert_eq!(graph.dependents_of(&to, true).contains(&from), needed.contains(&to));
        match graph.path(&from, &to) {
            Some(path) => {
                prop_assert_eq!((path.first(), path.last()), (Some(&from), Some(&to)));
                for step in path.windows(2) {
                    prop_assert!(graph.dependencies_of(&step[0], false).contains(&step[1]));
                }
            }
            None => prop_assert!(!needed.contains(&to)),
        }
    }

    #[test]
    fn a_plan_starts_nothing_before_what_it_needs_and_forgets_nothing(
        (nodes, edges) in dag(400), seeds in prop::collection::vec(any::<u8>(), 1..40), picks in prop::collection::vec(0..400usize, 1..5),
    ) {
        let fake = registry(nodes, &edges, &seeds);
        let targets: Vec<_> = picks.iter().map(|n| id(&name(n % nodes))).collect();
        let plan = plan_activation(&fake, &targets).unwrap();
        prop_assert!(plan.blocked.is_empty() && plan.skipped.is_empty());
        let place = places(plan.order());
        prop_assert_eq!(place.len(), plan.order().count());
        let mut closure: BTreeSet<_> = targets.iter().cloned().collect();
        for target in &targets {
            closure.extend(plan.graph.dependencies_of(target, true));
        }
        for id in &closure {
            let active = fake.entries[id].status == Status::Active;
            prop_assert_eq!(place.contains_key(id), !active);
            prop_assert_eq!(plan.already_active.contains(id), active);
        }
        prop_assert_eq!(plan.entries.len(), closure.len());
        for id in place.keys() {
            for needed in plan.graph.dependencies_of(id, true) {
                prop_assert!(place.get(&needed).is_none_or(|before| *before < place[id]));
            }
        }
    }

    #[test]
    fn trouble_reaches_exactly_what_needs_it(
        (nodes, edges) in dag(200), bad in prop::collection::btree_set(0..200usize, 1..6),
    ) {
        let mut fake = registry(nodes, &edges, &[1]);
        let bad: BTreeSet<_> = bad.into_iter().map(|n| id(&name(n % nodes))).collect();
        for id in &bad {
            fake.change(id.as_str(), |entry| Arc::make_mut(&mut entry.dependencies).push(declared("gone", "*")));
        }
        let all: Vec<_> = fake.entries.keys().cloned().collect();
        let plan = plan_activation(&fake, &all).unwrap();
        let blocked: BTreeSet<_> = plan.blocked.iter().map(|(id, _)| id.clone()).collect();
        prop_assert_eq!(&blocked, &bad);
        let skipped: BTreeMap<_, _> = plan.skipped.iter().cloned().collect();
        let started: BTreeSet<_> = plan.order().cloned().collect();
        for id in all.iter().filter(|id| !bad.contains(*id)) {
            let roots: Vec<_> = plan.graph.dependencies_of(id, true).into_iter().filter(|id| bad.contains(id)).collect();
            prop_assert_eq!(started.contains(id), roots.is_empty());
            prop_assert_eq!(skipped.get(id), roots.first(), "the first of several by id");
        }
    }

    #[test]
    fn stopping_leaves_nobody_without_what_it_needs(
        (nodes, edges) in dag(200), seeds in prop::collection::vec(any::<u8>(), 1..40), picks in prop::collection::vec(0..200usize, 1..20), cascade: bool, unregister: bool,
    ) {
        let mut fake = registry(nodes, &edges, &seeds);
        // In sound state everything that an active component needs is active.
        let graph = build(nodes, &edges);
        for id in graph.nodes() {
            if fake.entries[id].status == Status::Active {
                for needed in graph.dependencies_of(id, true) {
                    fake.change(needed.as_str(), |entry| entry.status = Status::Active);
                }
            }
        }
        let targets: Vec<_> = picks.iter().map(|n| id(&name(n % nodes))).collect();
        let plan = if unregister {
            plan_unregistration(&fake, &targets, cascade)
        } else {
            plan_deactivation(&fake, &targets, cascade)
        };
        let plan = plan.unwrap();
        let place = places(plan.order());
        let counts = |id: &ComponentId| unregister || fake.entries[id].status == Status::Active;
        for id in place.keys() {
            prop_assert!(counts(id));
            for dependent in graph.dependents_of(id, false).into_iter().filter(counts) {
                prop_assert!(place[&dependent] < place[id], "dependents go first");
            }
        }
        for target in &targets {
            let outcomes = [
                place.contains_key(target),
                plan.unchanged.contains(target),
                plan.blocked.iter().any(|(id, _)| id == target),
            ];
            prop_assert_eq!(outcomes.iter().filter(|found| **found).count(), 1);
        }
        prop_assert!(!cascade || plan.blocked.is_empty());
    }

    #[test]
    fn imports_find_a_provider_exactly_when_one_version_serves(
        versions in prop::collection::btree_set((0..3u64, 0..4u64, 0..3u64), 1..5), wanted in (0..3u64, 0..4u64, 0..3u64),
    ) {
        let mut fake = Fake::default();
        let interface = |v: &(u64, u64, u64)| format!("demo:log/sink@{}.{}.{}", v.0, v.1, v.2);
        for (n, version) in versions.iter().enumerate() {
            fake.register(&format!("p{n}"), "1.0.0", "", &interface(version), "");
        }
        fake.register("app", "1.0.0", &interface(&wanted), "", "");
        // Cargo's caret rule, written down a second time.
        let serves = |v: &&(u64, u64, u64)| match wanted {
            (0, 0, patch) => **v == (0, 0, patch),
            (0, minor, patch) => v.0 == 0 && v.1 == minor && v.2 >= patch,
            (major, minor, patch) => v.0 == major && (v.1, v.2) >= (minor, patch),
        };
        let plan = plan_activation(&fake, &[id("app")]).unwrap();
        let kinds: Vec<_> = plan.blocked.iter().map(|(_, error)| error.kind().as_str()).collect();
        match versions.iter().filter(serves).count() {
            0 => prop_assert_eq!(kinds, ["not-found"]),
            1 => prop_assert_eq!((plan.order().count(), kinds.len()), (2, 0)),
            _ => prop_assert_eq!(kinds, ["conflict"]),
        }
    }

    #[test]
    fn a_declared_range_is_kept_exactly(major in 0..3u64, minor in 0..3u64, range in "[\\^~=]?[0-2](\\.[0-2])?") {
        let mut fake = Fake::default();
        fake.register("base", &format!("{major}.{minor}.0"), "", "", "");
        fake.register("app", "1.0.0", "", "", &format!("[dependencies]\n't:base' = '{range}'"));
        let wanted: domain::VersionReq = range.parse().unwrap();
        let plan = plan_activation(&fake, &[id("app")]).unwrap();
        prop_assert_eq!(plan.blocked.is_empty(), wanted.matches(fake.version(&id("base"))));
    }
}
