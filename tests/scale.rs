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

#[test]
fn thousands_of_components_register_and_order_correctly() {
    let count = std::env::var("SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(COUNT);
    let sandbox = Sandbox::new();
    let needs = |n: usize| -> Vec<String> {
        let mut needs: Vec<_> =
            [n / 2, n / 3, n * 2 / 3].into_iter().filter(|m| *m < n).map(|m| format!("n{m}")).collect();
        needs.sort();
        needs.dedup();
        needs
    };
    for n in 0..count {
        let names = needs(n);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        sandbox.component(&format!("test:n{n}"), "1.0.0", "", &wat::node(&format!("n{n}"), &names));
    }
    let begun = Instant::now();
    sandbox.ok(&["-q", "register", "components"]);
    println!("registered {count} in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    let order = strings(&sandbox.json(&["order"])["order"]);
    println!("ordered {count} in {:.1?}", begun.elapsed());
    let place: HashMap<_, _> = order.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    assert_eq!(place.len(), count);
    for n in 0..count {
        for need in needs(n) {
            assert!(place[format!("test:{need}").as_str()] < place[format!("test:n{n}").as_str()]);
        }
    }
}
