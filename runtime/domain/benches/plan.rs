//! What ordering a large graph costs, beside bare petgraph on the same graph in the same run.
#![expect(clippy::print_stdout, reason = "the ratios are the bench's result")]
#![allow(missing_docs, reason = "criterion's macros make functions without docs")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use domain::ComponentId;
use domain::graph::{Graph, GraphEdge};
use petgraph::graph::{DiGraph, NodeIndex};

const NODES: usize = 100_000;
const EDGES_EACH: usize = 3;
/// Runs of each side; they alternate, so that a disturbance hits both.
const RUNS: usize = 21;

/// Returns (dependent, dependency) pairs: each node needs three of those before it, chosen by a fixed rule.
fn pairs() -> Vec<(usize, usize)> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut pairs = Vec::with_capacity(NODES * EDGES_EACH);
    for node in 1..NODES {
        for _ in 0..EDGES_EACH {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            pairs.push((node, (state % node as u64) as usize));
        }
    }
    pairs
}

fn id(number: usize) -> ComponentId {
    ComponentId::new("bench", &format!("n{number:06}")).expect("the name is an id")
}

fn edges(pairs: &[(usize, usize)]) -> Vec<GraphEdge> {
    let ids: Vec<_> = (0..NODES).map(id).collect();
    let at = |n: usize| ids.get(n).cloned().expect("the number is below NODES");
    let edge = |(dependent, dependency): &(usize, usize)| GraphEdge {
        dependent: at(*dependent),
        dependency: at(*dependency),
        label: "demo:log/sink@0.1.0".into(),
        declared: false,
    };
    pairs.iter().map(edge).collect()
}

fn bare(pairs: &[(usize, usize)]) -> DiGraph<(), ()> {
    let mut graph = DiGraph::with_capacity(NODES, pairs.len());
    for _ in 0..NODES {
        graph.add_node(());
    }
    for (dependent, dependency) in pairs {
        graph.add_edge(NodeIndex::new(*dependency), NodeIndex::new(*dependent), ());
    }
    graph
}

fn order(criterion: &mut Criterion) {
    let pairs = pairs();
    let (bare, edges) = (bare(&pairs), edges(&pairs));
    let graph = Graph::new([], edges.clone());
    let mut group = criterion.benchmark_group("order of 100,000 components with 3 edges each");
    group.sample_size(20);
    group.bench_function("bare petgraph toposort", |b| b.iter(|| petgraph::algo::toposort(black_box(&bare), None)));
    group.bench_function("order", |b| b.iter(|| black_box(&graph).order()));
    group.bench_function("waves", |b| b.iter(|| black_box(&graph).waves()));
    group.bench_function("build the graph", |b| b.iter_with_large_drop(|| Graph::new([], edges.clone())));
    group.finish();
}

/// Returns the medians of both sides, run in turns.
fn medians(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (Duration, Duration) {
    let time = |side: &mut dyn FnMut()| {
        let start = Instant::now();
        side();
        start.elapsed()
    };
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        a.push(time(&mut ours));
        b.push(time(&mut theirs));
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times.get(RUNS / 2).copied().unwrap_or_default()
    };
    (median(&mut a), median(&mut b))
}

fn print_ratios() {
    let pairs = pairs();
    let bare = bare(&pairs);
    let graph = Graph::new([], edges(&pairs));
    let toposort = || {
        let order = petgraph::algo::toposort(black_box(&bare), None);
        assert_eq!(order.map(|order| order.len()), Ok(NODES));
    };
    let show = |what: &str, (ours, theirs): (Duration, Duration)| {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        println!("{what}: {ours:.1?}, bare petgraph toposort: {theirs:.1?}, ratio {ratio:.2} (bound 3)");
    };
    let order = || assert_eq!(black_box(&graph).order().map(|order| order.len()), Ok(NODES));
    show("order of 100,000 components with 3 edges each", medians(order, toposort));
    let waves = || assert!(black_box(&graph).waves().is_ok_and(|waves| waves.len() > 1));
    show("the same in waves", medians(waves, toposort));
}

criterion_group!(benches, order);

fn main() {
    print_ratios();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
