//! Graphs as folders: `tests/graphs/<case>/graph.json` with `order.txt`, or `error.txt` where there is no order. A new case
//! is a new folder; `BLESS=1 cargo test -p domain` writes what is found.

use std::fs;
use std::path::Path;

use domain::graph::{Cycle, Graph, GraphEdge};
use serde::Deserialize;

use crate::fake::{id, ids, show, show_waves};

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    nodes: Vec<String>,
    /// (dependent, dependency, label); the label `depends_on` means declared.
    edges: Vec<(String, String, String)>,
}

impl Case {
    fn graph(&self) -> Graph {
        let edges = self.edges.iter().map(|(dependent, dependency, label)| GraphEdge {
            dependent: id(dependent),
            dependency: id(dependency),
            label: label.as_str().into(),
            declared: label == "depends_on",
        });
        Graph::new(self.nodes.iter().map(|name| id(name)), edges)
    }
}

fn describe(cycle: &Cycle) -> String {
    let cut = &cycle.cut;
    format!("{cycle}\n  cut {} -> {} ({})\n", cut.dependent, cut.dependency, cut.label)
}

#[test]
fn graphs_are_ordered_as_their_folders_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs");
    let bless = std::env::var_os("BLESS").is_some();
    let mut cases = 0;
    for case in fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let graph: Case = serde_json::from_slice(&fs::read(case.join("graph.json")).unwrap()).unwrap();
        let graph = graph.graph();
        let (file, other, found) = match graph.waves() {
            Ok(waves) => {
                assert!(graph.cycles().is_empty(), "{}", case.display());
                let lines: String = waves.iter().map(|wave| format!("{}\n", show(wave))).collect();
                ("order.txt", "error.txt", lines)
            }
            Err(first) => {
                let cycles = graph.cycles();
                assert_eq!(cycles.first(), Some(&first), "{}", case.display());
                ("error.txt", "order.txt", cycles.iter().map(describe).collect())
            }
        };
        assert!(!case.join(other).exists(), "{} does not belong there", case.join(other).display());
        if bless {
            fs::write(case.join(file), &found).unwrap();
        }
        let expected = fs::read_to_string(case.join(file)).unwrap();
        assert_eq!(found, expected, "{}", case.display());
        cases += 1;
    }
    assert!(cases >= 10, "only {cases} cases were found");
}

fn graph(shape: &str) -> Graph {
    let edges = shape.split_whitespace().flat_map(|part| {
        let (dependent, needs) = part.split_once(':').unwrap();
        needs.split(',').map(move |dependency| GraphEdge {
            dependent: id(dependent),
            dependency: id(dependency),
            label: "depends_on".into(),
            declared: true,
        })
    });
    Graph::new([], edges)
}

#[test]
fn finds_the_way_by_which_one_needs_another() {
    let graph = graph("e:d d:c,b c:a b:a a:low x:low");
    let way = |from: &str, to: &str| graph.path(&id(from), &id(to)).map(|path| show(&path));
    assert_eq!(way("e", "a").as_deref(), Some("e d b a"));
    assert_eq!(way("e", "e").as_deref(), Some("e"));
    assert_eq!(way("a", "e"), None);
    assert_eq!(way("x", "a"), None);
    assert_eq!(way("nobody", "a"), None);
}

#[test]
fn answers_who_needs_whom_directly_and_at_last() {
    let graph = graph("e:d d:c,b c:a b:a x:a");
    assert_eq!(show(&graph.dependencies_of(&id("d"), false)), "b c");
    assert_eq!(show(&graph.dependencies_of(&id("e"), true)), "a b c d");
    assert_eq!(show(&graph.dependents_of(&id("a"), false)), "b c x");
    assert_eq!(show(&graph.dependents_of(&id("a"), true)), "b c d e x");
    assert!(graph.dependents_of(&id("nobody"), true).is_empty());
}

#[test]
fn keeps_labels_and_edges_between_the_same_two() {
    let edge =
        |label: &str, declared| GraphEdge { dependent: id("b"), dependency: id("a"), label: label.into(), declared };
    let graph = Graph::new(ids("c"), [edge("x:y/z", false), edge("depends_on", true)]);
    assert_eq!((graph.node_count(), graph.edge_count()), (3, 2));
    let edges: Vec<_> = graph.edges().map(|edge| (edge.label, edge.declared)).collect();
    assert_eq!(edges, [("depends_on", true), ("x:y/z", false)]);
    assert_eq!(show_waves(&graph.waves().unwrap()), "a c | b");
}

#[test]
fn a_circle_takes_one_place_where_an_order_is_needed_all_the_same() {
    let graph = graph("top:a a:b b:a,low side:low self:self");
    assert_eq!(show_waves(&graph.waves_despite_cycles()), "low self | a b side | top");
    assert!(graph.waves().is_err());
}
