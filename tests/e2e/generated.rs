//! Generated graphs: hundreds of components, their order, one call through all of them.

use std::collections::HashMap;

use crate::harness::generated::Numbers;
use crate::harness::sandbox::{string, strings};
use crate::harness::{Sandbox, wat};

/// Components of the generated graph.
const COUNT: usize = 300;

/// Each component needs up to three with a lower number; names are shuffled so that their order says nothing.
fn graph() -> Vec<(String, Vec<String>)> {
    let mut numbers = Numbers::new(7);
    let mut names: Vec<String> = (0..COUNT).map(|n| format!("n{n}")).collect();
    for at in (1..COUNT).rev() {
        names.swap(at, numbers.below(at + 1));
    }
    let mut graph = Vec::new();
    for at in 0..COUNT {
        let mut needs: Vec<String> = (0..3.min(at)).map(|_| names[numbers.below(at)].clone()).collect();
        needs.sort();
        needs.dedup();
        graph.push((names[at].clone(), needs));
    }
    graph
}

#[test]
fn hundreds_of_components_register_and_order_correctly() {
    let sandbox = Sandbox::new();
    let graph = graph();
    for (name, needs) in &graph {
        let needs: Vec<_> = needs.iter().map(String::as_str).collect();
        sandbox.component(&format!("test:{name}"), "1.0.0", "", &wat::node(name, &needs));
    }
    let document = sandbox.json(&["register", "components"]);
    assert_eq!(document["registered"].as_array().unwrap().len(), COUNT);
    assert_eq!(document["failed"], serde_json::json!([]));

    let order = sandbox.json(&["order"]);
    let place: HashMap<String, usize> =
        strings(&order["order"]).into_iter().enumerate().map(|(at, id)| (id, at)).collect();
    assert_eq!(place.len(), COUNT);
    for (name, needs) in &graph {
        for need in needs {
            assert!(place[&format!("test:{need}")] < place[&format!("test:{name}")], "{name} stands before {need}");
        }
    }
    // A wave is as early as it can be: one more than the latest of what is needed.
    let mut wave_of: HashMap<String, usize> = HashMap::new();
    for (number, wave) in order["waves"].as_array().unwrap().iter().enumerate() {
        let ids = strings(wave);
        assert!(ids.is_sorted(), "ties are not ordered by id");
        wave_of.extend(ids.into_iter().map(|id| (id, number)));
    }
    for (name, needs) in &graph {
        let latest = needs.iter().map(|need| wave_of[&format!("test:{need}")] + 1).max().unwrap_or(0);
        assert_eq!(wave_of[&format!("test:{name}")], latest, "{name}");
    }
    assert_eq!(sandbox.json(&["order"]), order);

    let edges = sandbox.json(&["graph", "--format", "json"])["edges"].as_array().unwrap().len();
    assert_eq!(edges, graph.iter().map(|(_, needs)| needs.len()).sum::<usize>());
    let svg = sandbox.ok(&["graph", "--format", "svg"]);
    assert!(svg.contains("</svg>"));
}

#[test]
fn a_call_travels_through_a_long_chain() {
    let sandbox = Sandbox::new();
    let length = 30;
    let components: Vec<(String, String)> = (0..length)
        .map(|n| {
            let below = format!("c{}", n + 1);
            let needs: &[&str] = if n + 1 < length { &[&below] } else { &[] };
            (format!("test:c{n}"), wat::node(&format!("c{n}"), needs))
        })
        .collect();
    let components: Vec<(&str, String)> = components.iter().map(|(id, text)| (id.as_str(), text.clone())).collect();
    sandbox.register_all(&components);
    let document = sandbox.json(&["activate", "c0"]);
    assert_eq!(document["waves"].as_array().unwrap().len(), length);
    assert_eq!(string(&document["waves"][length - 1][0]), "test:c0");
    let answer = sandbox.run_json(&["call", "c0", "get()"]);
    if answer.code == 0 {
        assert_eq!(answer.document()["result"], length);
    } else {
        // The depth of calls is bounded: then it is a failure with a name, not a crash.
        answer.assert_failed(7);
    }
}
