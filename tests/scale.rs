//! Ten thousand generated components registered and ordered: run by name, `cargo test -p tests --test scale -- --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    reason = "a test that meets what it does not expect has to fail; it uses part of the harness"
)]

#[path = "e2e/harness/mod.rs"]
mod harness;

use std::collections::HashMap;
use std::time::Instant;

use harness::sandbox::strings;
use harness::{Sandbox, wat};

/// How many components, unless SCALE says otherwise.
const COUNT: usize = 10_000;
/// Most imports of one component.
const NEEDS_MAX: usize = 3;
/// Near imports come from so many components just before the importer: that makes the graph deep.
const NEAR: usize = 200;
/// Of a hundred imports, so many are near ones; the others come from anywhere before.
const NEAR_PERCENT: usize = 80;

/// A seeded source of numbers, the same in every run.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// Name and needs of each component, what is needed first. Names are shuffled: neither they nor the order of the files say
/// anything about who needs whom.
fn graph(count: usize) -> Vec<(String, Vec<String>)> {
    let mut numbers = Xorshift(0x9e37_79b9_7f4a_7c15);
    let mut names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
    for at in (1..count).rev() {
        names.swap(at, numbers.below(at + 1));
    }
    let mut graph = Vec::with_capacity(count);
    for at in 0..count {
        let mut needs = Vec::new();
        for _ in 0..(1 + numbers.below(NEEDS_MAX)).min(at) {
            let near = numbers.below(100) < NEAR_PERCENT;
            let back = 1 + numbers.below(if near { NEAR.min(at) } else { at });
            needs.push(names[at - back].clone());
        }
        needs.sort();
        needs.dedup();
        graph.push((names[at].clone(), needs));
    }
    graph
}

#[test]
fn thousands_of_components_register_and_order_correctly() {
    let count = std::env::var("SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(COUNT);
    let sandbox = Sandbox::new();
    let graph = graph(count);
    for (name, needs) in &graph {
        let needs: Vec<_> = needs.iter().map(String::as_str).collect();
        sandbox.component(&format!("test:{name}"), "1.0.0", "", &wat::node(name, &needs));
    }
    let begun = Instant::now();
    sandbox.ok(&["-q", "register", "components"]);
    println!("registered {count} in {:.1?}", begun.elapsed());

    let begun = Instant::now();
    let document = sandbox.json(&["order"]);
    println!("ordered {count} in {:.1?}", begun.elapsed());
    let order = strings(&document["order"]);
    let waves: Vec<Vec<String>> = document["waves"].as_array().unwrap().iter().map(strings).collect();
    let edges: usize = graph.iter().map(|(_, needs)| needs.len()).sum();
    println!("{edges} edges, {} waves", waves.len());

    let place: HashMap<&str, usize> = order.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    assert_eq!((order.len(), place.len()), (count, count), "every id stands in the order once");
    let in_waves = waves.iter().enumerate().flat_map(|(wave, ids)| ids.iter().map(move |id| (id.as_str(), wave)));
    let wave: HashMap<&str, usize> = in_waves.collect();
    assert_eq!((waves.iter().map(Vec::len).sum::<usize>(), wave.len()), (count, count), "and in the waves once");

    for (name, needs) in &graph {
        let id = format!("test:{name}");
        assert!(place.contains_key(id.as_str()), "{id} is not in the order");
        let mut latest = None;
        for need in needs {
            let need = format!("test:{need}");
            assert!(place[need.as_str()] < place[id.as_str()], "{id} stands before {need}");
            assert!(wave[need.as_str()] < wave[id.as_str()], "{id} is in no later wave than {need}");
            latest = latest.max(Some(wave[need.as_str()]));
        }
        // A wave is as early as it can be: the one after the latest of what is needed.
        assert_eq!(wave[id.as_str()], latest.map_or(0, |wave| wave + 1), "{id} waits longer than it has to");
    }
    assert!(waves.len() > count / 200, "the graph is flat: {} waves", waves.len());
}
