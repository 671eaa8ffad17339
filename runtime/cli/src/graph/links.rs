//! The picture with names turned into numbers, and edges between the same two components merged.

use std::collections::BTreeMap;

use domain::status::Status;

use super::{Edge, GraphPicture, Node};

/// A picture ready for drawing: items in order of their ids, lines by the positions of their ends.
pub(super) struct Links<'a> {
    /// What is drawn as a box; edges refer to positions in this list.
    pub(super) items: Vec<Item<'a>>,
    /// What is drawn as a line, at most one for each pair of ends, ordered by `(from, to)`.
    pub(super) lines: Vec<Line<'a>>,
}

/// A component, or the name of one that an edge mentions and the picture does not have.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    /// A component of the picture.
    Entry(&'a Node),
    /// An id that only edges know.
    Missing(&'a str),
}

/// All edges from one component to another.
pub(super) struct Line<'a> {
    /// Position of the dependency.
    pub(super) from: usize,
    /// Position of the dependent.
    pub(super) to: usize,
    /// The edges, by label; never empty.
    pub(super) edges: Vec<&'a Edge>,
}

impl<'a> Links<'a> {
    /// Numbers the components of `picture`.
    pub(super) fn new(picture: &'a GraphPicture) -> Self {
        let mut by_id: BTreeMap<&str, Item<'_>> = BTreeMap::new();
        for node in &picture.nodes {
            by_id.entry(&node.id).or_insert(Item::Entry(node));
        }
        for end in picture.edges.iter().flat_map(|edge| [&edge.from, &edge.to]) {
            by_id.entry(end).or_insert(Item::Missing(end));
        }
        let position: BTreeMap<&str, usize> = by_id.keys().enumerate().map(|(i, id)| (*id, i)).collect();
        let mut lines: BTreeMap<(usize, usize), Vec<&Edge>> = BTreeMap::new();
        for edge in &picture.edges {
            if let (Some(&from), Some(&to)) = (position.get(edge.from.as_str()), position.get(edge.to.as_str())) {
                lines.entry((from, to)).or_default().push(edge);
            }
        }
        let lines = lines.into_iter().map(|((from, to), mut edges)| {
            edges.sort_by(|a, b| a.label.cmp(&b.label));
            edges.dedup_by(|a, b| a.label == b.label && a.declared == b.declared);
            Line { from, to, edges }
        });
        Self { lines: lines.collect(), items: by_id.into_values().collect() }
    }

    /// Returns, for each item, the lines that leave it towards its dependents, as positions in `lines`.
    pub(super) fn lines_by_dependent(&self) -> Vec<Vec<usize>> {
        let mut found = vec![Vec::new(); self.items.len()];
        for (i, line) in self.lines.iter().enumerate() {
            if let Some(of_dependent) = found.get_mut(line.to) {
                of_dependent.push(i);
            }
        }
        found
    }
}

impl<'a> Item<'a> {
    /// Returns the full id.
    pub(super) fn id(self) -> &'a str {
        match self {
            Item::Entry(node) => &node.id,
            Item::Missing(id) => id,
        }
    }

    /// Returns what is shown large.
    pub(super) fn label(self) -> &'a str {
        match self {
            Item::Entry(node) if !node.label.is_empty() => &node.label,
            Item::Entry(_) | Item::Missing(_) => self.id().split_once(':').map_or(self.id(), |(_, name)| name),
        }
    }

    /// Returns the status, or `None` for what is missing.
    pub(super) fn status(self) -> Option<Status> {
        match self {
            Item::Entry(node) => Some(node.status),
            Item::Missing(_) => None,
        }
    }

    /// Returns the word for the status; `missing` is not a status but stands where one would.
    pub(super) fn status_word(self) -> &'static str {
        self.status().map_or("missing", Status::as_str)
    }

    /// Returns namespace, version and kind, those that there are.
    pub(super) fn details(self) -> Vec<&'a str> {
        let namespace = self.id().split_once(':').map_or("", |(namespace, _)| namespace);
        let parts = match self {
            Item::Entry(node) => [namespace, node.version.as_str(), node.kind.as_str()],
            Item::Missing(_) => [namespace, "", "not registered"],
        };
        parts.into_iter().filter(|part| !part.is_empty()).collect()
    }
}

impl Line<'_> {
    /// Tells whether no import stands behind the line.
    pub(super) fn is_declared(&self) -> bool {
        self.edges.iter().all(|edge| edge.declared)
    }

    /// Tells whether the dependency is part of the dependent's unit.
    pub(super) fn is_fused(&self) -> bool {
        self.edges.iter().any(|edge| edge.fused)
    }
}
