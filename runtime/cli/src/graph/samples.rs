//! Pictures that the tests of this module share.

use domain::status::Status;

use super::{DECLARED_LABEL, Edge, GraphPicture, Node};

/// Returns a component that stands as `status`.
pub(super) fn node(id: &str, kind: &str, status: Status) -> Node {
    let label = id.split_once(':').map_or(id, |(_, name)| name).to_owned();
    let (version, kind) = ("0.1.0".to_owned(), kind.to_owned());
    Node { id: id.to_owned(), label, version, kind, status, error: false, unresolved: Vec::new() }
}

/// Returns an edge: `to` needs `from`.
pub(super) fn edge(from: &str, to: &str, label: &str) -> Edge {
    let declared = label == DECLARED_LABEL;
    Edge { from: from.to_owned(), to: to.to_owned(), label: label.to_owned(), declared, fused: false }
}

/// Returns three components and two edges, one of them declared.
pub(super) fn small() -> GraphPicture {
    GraphPicture {
        title: String::new(),
        nodes: vec![
            node("demo:report", "tool", Status::Error),
            node("demo:text", "library", Status::Active),
            node("demo:logger", "service", Status::Registered),
        ],
        edges: vec![
            edge("demo:logger", "demo:text", "demo:logger/log@0.1.0"),
            edge("demo:text", "demo:report", DECLARED_LABEL),
            edge("demo:text", "demo:report", "demo:text/prose@0.1.0"),
        ],
    }
}

/// Returns a picture of twelve components in five levels, with diamonds, one alone, one failing, one missing.
pub(super) fn demo() -> GraphPicture {
    let mut nodes = vec![
        node("demo:logger", "service", Status::Active),
        node("demo:facts", "service", Status::Active),
        node("demo:text", "library", Status::Active),
        node("demo:units", "library", Status::Active),
        node("demo:checksum", "library", Status::Inactive),
        node("demo:template", "library", Status::Active),
        node("demo:sentiment", "skill", Status::Registered),
        node("demo:calculator", "skill", Status::Active),
        node("demo:report", "tool", Status::Active),
        node("demo:flaky", "test", Status::Error),
        node("acme:newsletter-composer", "skill", Status::Discovered),
    ];
    nodes[8].error = true;
    nodes[10].unresolved = vec!["acme:mail/send@2.0.0".to_owned()];
    let (log, facts, prose) = ("demo:logger/log@0.1.0", "demo:facts/store@0.1.0", "demo:text/prose@0.1.0");
    let edges = vec![
        edge("demo:logger", "demo:facts", log),
        edge("demo:logger", "demo:text", log),
        edge("demo:text", "demo:units", prose),
        edge("demo:text", "demo:template", prose),
        edge("demo:text", "demo:sentiment", prose),
        edge("demo:facts", "demo:sentiment", facts),
        edge("demo:logger", "demo:calculator", log),
        edge("demo:facts", "demo:calculator", facts),
        edge("demo:units", "demo:calculator", "demo:units/convert@0.1.0"),
        edge("demo:logger", "demo:report", log),
        edge("demo:facts", "demo:report", facts),
        edge("demo:text", "demo:report", prose),
        edge("demo:template", "demo:report", "demo:template/render@0.1.0"),
        edge("demo:sentiment", "demo:report", "demo:sentiment/analyse@0.1.0"),
        edge("demo:checksum", "demo:report", "demo:checksum/digest@0.1.0"),
        edge("demo:calculator", "demo:report", "demo:calculator/calc@0.1.0"),
        edge("demo:report", "acme:newsletter-composer", DECLARED_LABEL),
        edge("acme:style-guide", "acme:newsletter-composer", DECLARED_LABEL),
    ];
    GraphPicture { title: "Demo registry".to_owned(), nodes, edges }
}

/// Returns names that try to break out of each format, and scripts of several directions and widths.
pub(super) fn hostile() -> GraphPicture {
    let names = [
        "x:\"]; evil [label=\"",
        "x:back\\slash\\",
        "x:<script>alert('1')</script>&amp;",
        "x:\u{1b}[2J\u{202e}line\nfeed\u{0}\u{ffff}",
        "x:`code` #quot; |pipe| {b} --> end",
        "x:世界の部品-שלום",
    ];
    let mut nodes: Vec<Node> = names.iter().map(|name| node(name, "a & b", Status::Active)).collect();
    nodes[0].version = "1\"<&".to_owned();
    let edges = names.iter().zip(names.iter().skip(1)).map(|(a, b)| edge(a, b, &format!("{a}/{b}"))).collect();
    GraphPicture { title: "<&\"\u{7}".to_owned(), nodes, edges }
}

/// Returns a picture of `(dependency, dependent)` pairs.
pub(super) fn from_pairs(pairs: &[(&str, &str)]) -> GraphPicture {
    let names: std::collections::BTreeSet<&str> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
    GraphPicture {
        title: String::new(),
        nodes: names.into_iter().map(|name| node(name, "component", Status::Registered)).collect(),
        edges: pairs.iter().map(|(from, to)| edge(from, to, "t:p/i@1.0.0")).collect(),
    }
}

/// Returns a seeded acyclic picture: the larger `seed` modulo 3, the more an edge prefers neighbours.
pub(super) fn random(node_count: usize, edge_count: usize, seed: u64) -> GraphPicture {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % (bound.max(1) as u64)).unwrap()
    };
    let words =
        ["log", "text", "units", "facts", "report", "template", "calculator", "sentiment", "mail", "search", "index"];
    let kinds = ["service", "library", "skill", "tool"];
    let nodes: Vec<Node> = (0..node_count)
        .map(|i| {
            let status = if next(3) > 0 { Status::Active } else { Status::ALL[next(5)] };
            node(&format!("demo:{}-{i}", words[next(words.len())]), kinds[next(4)], status)
        })
        .collect();
    let reach = [node_count, 40, 12][usize::try_from(seed % 3).unwrap()];
    let edges = (0..if node_count > 1 { edge_count } else { 0 })
        .map(|_| {
            let to = 1 + next(node_count - 1);
            let from = to - 1 - next(to.min(reach));
            let label = if next(8) == 0 {
                DECLARED_LABEL.to_owned()
            } else {
                format!("{}/{}", nodes[from].id, words[next(11)])
            };
            edge(&nodes[from].id, &nodes[to].id, &label)
        })
        .collect();
    GraphPicture { title: String::new(), nodes, edges }
}
