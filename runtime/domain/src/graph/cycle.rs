//! Circles in the graph: finding them, and naming the edge to cut.

use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::Direction::Outgoing;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Graph, GraphEdge, shortest_way};
use crate::error::ErrorKind;
use crate::id::ComponentId;

/// Most cycles that [`Graph::cycles`] reports.
pub const CYCLES_MAX: usize = 1_000;

/// Most components of a cycle that its text shows; the middle of a longer one is left out.
pub const CYCLE_SHOWN_MAX: usize = 12;

/// Components that need each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the components depend on each other in a circle: {}", self.path_text())]
pub struct Cycle {
    /// The components in the order of their needs: each needs the next one, the last is the first again. Starts
    /// with the smallest id; a component that needs itself gives two elements.
    pub path: Vec<ComponentId>,
    /// The edge whose removal opens this cycle with the least harm: a declared one where there is one. Several
    /// edges between the same two components all have to go; this is then the first.
    pub cut: GraphEdge,
}

impl Cycle {
    /// Says whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Conflict
    }

    /// Returns the path as one line: `a:a → a:b → a:a`, without its middle above [`CYCLE_SHOWN_MAX`] components.
    pub fn path_text(&self) -> String {
        path_text(&self.path)
    }
}

/// Writes `path` as one line: `a:a → a:b → a:c`, without its middle above [`CYCLE_SHOWN_MAX`] components.
pub fn path_text(path: &[ComponentId]) -> String {
    let join = |ids: &[ComponentId]| ids.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(" → ");
    if path.len() <= CYCLE_SHOWN_MAX {
        return join(path);
    }
    let (head, rest) = path.split_at(CYCLE_SHOWN_MAX / 2);
    let (hidden, tail) = rest.split_at(rest.len() - CYCLE_SHOWN_MAX / 2);
    format!("{} → … {} more … → {}", join(head), hidden.len(), join(tail))
}

/// A dependency and its dependent.
type Pair = (NodeIndex, NodeIndex);

impl Graph {
    /// Returns the cycles, at most [`CYCLES_MAX`]: one for every set of components that need each other, and then
    /// more until cutting the named edge of each leaves no cycle. Ordered by that, then by id; empty for a sound
    /// graph.
    pub fn cycles(&self) -> Vec<Cycle> {
        let mut found = Vec::new();
        if self.is_acyclic() {
            return found;
        }
        let mut removed = HashSet::new();
        let all: Vec<_> = self.shape.node_indices().collect();
        let mut open: VecDeque<_> = self.groups_within(&all, &removed).into();
        while let Some(group) = open.pop_front() {
            let Some((cycle, cut)) = self.cycle_in(&group, &removed) else { continue };
            removed.insert(cut);
            open.extend(self.groups_within(&group, &removed));
            found.push(cycle);
            // Limit: a dense tangle has more cycles than anybody reads.
            if found.len() >= CYCLES_MAX {
                break;
            }
        }
        found
    }

    /// Returns each set of components that need each other, with a cycle in it.
    pub(crate) fn knots(&self) -> Vec<(Cycle, Vec<NodeIndex>)> {
        if self.is_acyclic() {
            return Vec::new();
        }
        let none = HashSet::new();
        let all: Vec<_> = self.shape.node_indices().collect();
        self.groups_within(&all, &none)
            .into_iter()
            .filter_map(|group| Some((self.cycle_in(&group, &none)?.0, group)))
            .collect()
    }

    /// Returns the sets of more than one node of `nodes`, or of one that needs itself, whose members all need each other,
    /// edges between `removed` pairs not counted; each set and the sets are ordered.
    fn groups_within(&self, nodes: &[NodeIndex], removed: &HashSet<Pair>) -> Vec<Vec<NodeIndex>> {
        let numbers: HashMap<NodeIndex, u32> = nodes.iter().copied().zip(0..).collect();
        let mut part: DiGraph<NodeIndex, ()> = DiGraph::with_capacity(nodes.len(), nodes.len());
        for node in nodes {
            part.add_node(*node);
        }
        for (node, number) in nodes.iter().zip(0u32..) {
            for next in self.shape.neighbors_directed(*node, Outgoing) {
                if let Some(target) = numbers.get(&next)
                    && !removed.contains(&(*node, next))
                {
                    part.add_edge(number.into(), (*target).into(), ());
                }
            }
        }
        let mut groups: Vec<Vec<NodeIndex>> = kosaraju_scc(&part)
            .into_iter()
            .filter(|group| match group.as_slice() {
                [only] => part.find_edge(*only, *only).is_some(),
                _ => true,
            })
            .map(|group| {
                let mut group: Vec<_> = group.iter().filter_map(|node| part.node_weight(*node)).copied().collect();
                group.sort_unstable();
                group
            })
            .collect();
        groups.sort_unstable();
        groups
    }

    /// Returns a shortest cycle through the first node of `group`, and the pair (dependency, dependent) to cut.
    fn cycle_in(&self, group: &[NodeIndex], removed: &HashSet<Pair>) -> Option<(Cycle, Pair)> {
        let members: HashSet<_> = group.iter().copied().collect();
        let start = *group.first()?;
        let next = |node: NodeIndex| {
            let mut needed = self.dependencies_at(node);
            needed.retain(|needed| members.contains(needed) && !removed.contains(&(*needed, node)));
            needed
        };
        let way = shortest_way(start, start, next)?;
        let steps = way.iter().zip(way.iter().skip(1)).map(|(dependent, dependency)| (*dependency, *dependent));
        let (cut, edge) = steps
            .filter_map(|pair| {
                let edges = self.edges_between(pair);
                // Cutting a declared edge opens nothing while an import joins the same two components.
                let hard = edges.iter().any(|edge| !edge.declared);
                let harm = (hard, edges.len());
                let first = edges.into_iter().find(|edge| edge.declared != hard)?;
                Some((harm, pair, first))
            })
            .min_by(|a, b| a.0.cmp(&b.0))
            .map(|(_, pair, edge)| (pair, edge))?;
        Some((Cycle { path: self.ids_at(&way), cut: edge }, cut))
    }

    fn edges_between(&self, (dependency, dependent): Pair) -> Vec<GraphEdge> {
        let mut edges: Vec<_> = self
            .shape
            .edges_connecting(dependency, dependent)
            .filter_map(|edge| {
                let (label, declared) = self.labels.get(petgraph::visit::EdgeRef::id(&edge).index())?;
                let (dependent, dependency) = (self.id_at(dependent)?.clone(), self.id_at(dependency)?.clone());
                Some(GraphEdge { dependent, dependency, label: label.clone(), declared: *declared })
            })
            .collect();
        edges.sort();
        edges
    }
}
