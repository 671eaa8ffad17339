//! The dependency graph: who needs whom, in which order things can start, and where they run in circles.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use petgraph::Direction::{Incoming, Outgoing};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::entry::{Edge, Entry};
use crate::id::ComponentId;

mod cycle;

pub use cycle::{CYCLE_SHOWN_MAX, CYCLES_MAX, Cycle, path_text};

/// One edge as it goes into a [`Graph`]: `dependent` needs `dependency`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GraphEdge {
    /// Who needs.
    pub dependent: ComponentId,
    /// What is needed.
    pub dependency: ComponentId,
    /// The imported interface, or `depends_on`.
    pub label: Arc<str>,
    /// Whether the edge was declared rather than derived from an import.
    pub declared: bool,
}

impl GraphEdge {
    /// Makes the edge from an entry's record of it.
    pub fn of(dependent: &ComponentId, edge: &Edge) -> Self {
        Self {
            dependent: dependent.clone(),
            dependency: edge.on.clone(),
            label: edge.label().into(),
            declared: edge.is_declared(),
        }
    }
}

/// One edge of a [`Graph`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeRef<'a> {
    /// Who needs.
    pub dependent: &'a ComponentId,
    /// What is needed.
    pub dependency: &'a ComponentId,
    /// The imported interface, or `depends_on`.
    pub label: &'a str,
    /// Whether the edge was declared rather than derived from an import.
    pub declared: bool,
}

/// A set of components and the edges between them.
///
/// Edges point from dependency to dependent. Nodes are numbered in the order of their ids, so that ordering by number
/// is ordering by id and ties cost nothing.
#[derive(Clone, Default)]
pub struct Graph {
    /// Ids by node number, ordered.
    ids: Vec<ComponentId>,
    /// Label and whether declared, by edge number.
    labels: Vec<(Arc<str>, bool)>,
    /// The shape alone: labels beside it keep it small and its traversal quick.
    shape: DiGraph<(), ()>,
}

impl Graph {
    /// Builds a graph of `nodes`, of both ends of every edge, and of `edges`; duplicates of nodes are harmless.
    ///
    /// Cost: O(n log n + e log e) for n nodes and e edges.
    pub fn new(nodes: impl IntoIterator<Item = ComponentId>, edges: impl IntoIterator<Item = GraphEdge>) -> Self {
        let edges: Vec<_> = edges.into_iter().collect();
        let mut ids: Vec<_> = nodes.into_iter().collect();
        sort_once(&mut ids);
        let ends = || edges.iter().flat_map(|edge| [&edge.dependent, &edge.dependency]);
        let known: HashSet<&ComponentId> = ids.iter().collect();
        let others: Vec<_> = ends().filter(|id| !known.contains(id)).cloned().collect();
        if !others.is_empty() {
            ids.extend(others);
            sort_once(&mut ids);
        }
        let numbers: HashMap<&ComponentId, u32> = ids.iter().zip(0..).collect();
        let number = |id: &ComponentId| numbers.get(id).copied().unwrap_or_default();
        let mut numbered: Vec<_> = edges
            .iter()
            .map(|edge| (number(&edge.dependency), number(&edge.dependent), &edge.label, edge.declared))
            .collect();
        numbered.sort_unstable();
        let shape = shape(ids.len(), numbered.iter().map(|(dependency, dependent, ..)| (*dependency, *dependent)));
        let labels = numbered.into_iter().map(|(.., label, declared)| (label.clone(), declared)).collect();
        Self { ids, labels, shape }
    }

    /// Builds the graph of `ids`, which are ordered and differ, and of edges without labels between them: pairs of a dependent's and a
    /// dependency's place in `ids`; places beyond it are left out. For whoever has numbered them already.
    ///
    /// Cost: O(n + e log e).
    pub fn of_numbered(ids: Vec<ComponentId>, edges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let is_there = |place: u32| (place as usize) < ids.len();
        let mut edges: Vec<_> = edges
            .into_iter()
            .filter(|(dependent, dependency)| is_there(*dependent) && is_there(*dependency))
            .map(|(dependent, dependency)| (dependency, dependent))
            .collect();
        edges.sort_unstable();
        let labels = vec![("".into(), false); edges.len()];
        let shape = shape(ids.len(), edges);
        Self { ids, labels, shape }
    }

    /// Builds the graph of `entries` and the edges that they hold.
    pub fn of_entries<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut nodes = Vec::new();
        let mut edges = Vec::new();
        for entry in entries {
            nodes.push(entry.id.clone());
            edges.extend(entry.dependencies.iter().map(|edge| GraphEdge::of(&entry.id, edge)));
        }
        Self::new(nodes, edges)
    }

    /// Returns the number of components.
    pub fn node_count(&self) -> usize {
        self.ids.len()
    }

    /// Returns the number of edges; several between the same two components count each.
    pub fn edge_count(&self) -> usize {
        self.labels.len()
    }

    /// Tells whether the graph has the component.
    pub fn contains(&self, id: &ComponentId) -> bool {
        self.index_of(id).is_some()
    }

    /// Returns the components, ordered.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &ComponentId> {
        self.ids.iter()
    }

    /// Returns the edges, ordered by dependency, dependent and label.
    pub fn edges(&self) -> impl Iterator<Item = EdgeRef<'_>> {
        self.shape.raw_edges().iter().zip(&self.labels).filter_map(|(edge, (label, declared))| {
            let (dependent, dependency) = (self.id_at(edge.target())?, self.id_at(edge.source())?);
            Some(EdgeRef { dependent, dependency, label, declared: *declared })
        })
    }

    /// Returns the components in waves: each wave needs only what is in earlier ones, and each component is in the
    /// first wave that it can be in. Within a wave components are ordered by id, so equal graphs give equal waves.
    ///
    /// Cost: O((nodes + edges) log nodes).
    ///
    /// # Errors
    /// [`Cycle`] if there is one; the first of [`Self::cycles`].
    pub fn waves(&self) -> Result<Vec<Vec<ComponentId>>, Cycle> {
        let sorted = self.sorted()?;
        Ok(sorted.waves().map(|wave| self.ids_at(wave)).collect())
    }

    /// Returns the [waves](Self::waves) as places in the order of ids, `None` if some need each other in a circle.
    pub fn numbered_waves(&self) -> Option<Vec<Vec<usize>>> {
        let levels = self.levels();
        let is_whole = levels.order.len() == self.ids.len();
        is_whole.then(|| levels.waves().map(|wave| wave.iter().map(|node| node.index()).collect()).collect())
    }

    /// Returns the components dependencies first: the [waves](Self::waves) one after the other.
    ///
    /// # Errors
    /// As [`Self::waves`].
    pub fn order(&self) -> Result<Vec<ComponentId>, Cycle> {
        Ok(self.ids_at(&self.sorted()?.order))
    }

    /// Returns the components in waves even where some need each other in a circle; such a circle takes one place
    /// in the order, as if it were a single component.
    pub fn waves_despite_cycles(&self) -> Vec<Vec<ComponentId>> {
        let sorted = self.levels();
        if sorted.order.len() == self.ids.len() {
            return sorted.waves().map(|wave| self.ids_at(wave)).collect();
        }
        // Kosaraju's groups come dependents first, so that read backwards every dependency is before its dependents.
        let groups = kosaraju_scc(&self.shape);
        let mut group_of = vec![0usize; self.ids.len()];
        for (number, group) in groups.iter().enumerate() {
            for node in group {
                if let Some(slot) = group_of.get_mut(node.index()) {
                    *slot = number;
                }
            }
        }
        let mut level_of = vec![0usize; groups.len()];
        let mut waves: Vec<Vec<NodeIndex>> = Vec::new();
        for (number, group) in groups.iter().enumerate().rev() {
            let needed = group.iter().flat_map(|node| self.shape.neighbors_directed(*node, Incoming));
            let needed = needed.filter_map(|node| group_of.get(node.index())).filter(|other| **other != number);
            let level = needed.filter_map(|other| level_of.get(*other)).map(|level| level + 1).max().unwrap_or(0);
            if let Some(slot) = level_of.get_mut(number) {
                *slot = level;
            }
            if waves.len() <= level {
                waves.resize_with(level + 1, Vec::new);
            }
            if let Some(wave) = waves.get_mut(level) {
                wave.extend(group);
            }
        }
        for wave in &mut waves {
            wave.sort_unstable();
        }
        waves.iter().map(|wave| self.ids_at(wave)).collect()
    }

    /// Returns a shortest way on which `from` needs `to`: `from`, what it needs, …, `to`; `None` if it does not, or if
    /// one of them is not in the graph. Both may be the same component, which is then the whole way.
    pub fn path(&self, from: &ComponentId, to: &ComponentId) -> Option<Vec<ComponentId>> {
        let (start, goal) = (self.index_of(from)?, self.index_of(to)?);
        if start == goal {
            return Some(vec![from.clone()]);
        }
        let way = shortest_way(start, goal, |node| self.dependencies_at(node))?;
        Some(self.ids_at(&way))
    }

    /// Returns what `id` needs, ordered, directly or with all that those need in turn; without `id` itself unless it
    /// is on a cycle. Empty if the graph does not have it.
    pub fn dependencies_of(&self, id: &ComponentId, transitive: bool) -> Vec<ComponentId> {
        self.reached(id, transitive, Incoming)
    }

    /// Returns what needs `id`, ordered, directly or with all that need those in turn; without `id` itself unless it
    /// is on a cycle. Empty if the graph does not have it.
    pub fn dependents_of(&self, id: &ComponentId, transitive: bool) -> Vec<ComponentId> {
        self.reached(id, transitive, Outgoing)
    }

    fn reached(&self, id: &ComponentId, transitive: bool, direction: petgraph::Direction) -> Vec<ComponentId> {
        let Some(start) = self.index_of(id) else { return Vec::new() };
        let mut seen: HashSet<_> = self.shape.neighbors_directed(start, direction).collect();
        if transitive {
            let mut open: Vec<_> = seen.iter().copied().collect();
            while let Some(node) = open.pop() {
                open.extend(self.shape.neighbors_directed(node, direction).filter(|next| seen.insert(*next)));
            }
        }
        let mut found: Vec<_> = seen.into_iter().collect();
        found.sort_unstable();
        self.ids_at(&found)
    }

    /// Returns the number of a component.
    pub(crate) fn index_of(&self, id: &ComponentId) -> Option<NodeIndex> {
        self.ids.binary_search(id).ok().map(NodeIndex::new)
    }

    /// Returns the component of a number.
    pub(crate) fn id_at(&self, node: NodeIndex) -> Option<&ComponentId> {
        self.ids.get(node.index())
    }

    /// Returns the numbers of what `node` needs, ordered, each once.
    pub(crate) fn dependencies_at(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let mut nodes: Vec<_> = self.shape.neighbors_directed(node, Incoming).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Returns the numbers of what needs `node`; one that does so by several edges comes several times.
    pub(crate) fn dependents_at(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.shape.neighbors_directed(node, Outgoing)
    }

    /// Returns the nodes that are neither on a cycle nor need one that is, dependencies first.
    pub(crate) fn sortable(&self) -> Vec<NodeIndex> {
        self.levels().order
    }

    fn ids_at(&self, nodes: &[NodeIndex]) -> Vec<ComponentId> {
        nodes.iter().filter_map(|node| self.id_at(*node)).cloned().collect()
    }

    fn is_acyclic(&self) -> bool {
        self.levels().order.len() == self.ids.len()
    }

    fn sorted(&self) -> Result<Levels, Cycle> {
        let levels = self.levels();
        if levels.order.len() == self.ids.len() {
            return Ok(levels);
        }
        match self.knots().into_iter().next() {
            Some((cycle, _)) => Err(cycle),
            // Unreachable: Kahn's algorithm leaves nodes over only if there is a cycle.
            None => Ok(levels),
        }
    }

    /// Kahn's algorithm, one level after the other. Nodes on cycles and what needs them are left out.
    fn levels(&self) -> Levels {
        let mut missing = vec![0u32; self.ids.len()];
        for edge in self.shape.raw_edges() {
            if let Some(count) = missing.get_mut(edge.target().index()) {
                *count += 1;
            }
        }
        let mut order: Vec<NodeIndex> = Vec::with_capacity(self.ids.len());
        order.extend(
            missing.iter().zip(0u32..).filter(|(count, _)| **count == 0).map(|(_, node)| NodeIndex::from(node)),
        );
        let mut starts = Vec::new();
        let mut start = 0;
        while start < order.len() {
            starts.push(start);
            let end = order.len();
            for position in start..end {
                let Some(node) = order.get(position).copied() else { break };
                for next in self.shape.neighbors_directed(node, Outgoing) {
                    if let Some(count) = missing.get_mut(next.index()) {
                        *count -= 1;
                        if *count == 0 {
                            order.push(next);
                        }
                    }
                }
            }
            if let Some(level) = order.get_mut(end..) {
                level.sort_unstable();
            }
            start = end;
        }
        Levels { order, starts }
    }
}

fn sort_once(ids: &mut Vec<ComponentId>) {
    ids.sort_unstable();
    ids.dedup();
}

/// Nodes in topological order, cut into levels.
struct Levels {
    order: Vec<NodeIndex>,
    /// Where each level begins.
    starts: Vec<usize>,
}

impl Levels {
    fn waves(&self) -> impl Iterator<Item = &[NodeIndex]> {
        let ends = self.starts.iter().skip(1).copied().chain([self.order.len()]);
        self.starts.iter().zip(ends).filter_map(|(start, end)| self.order.get(*start..end))
    }
}

/// Makes the shape of a graph of `nodes` nodes and of edges from dependency to dependent.
fn shape(nodes: usize, edges: impl IntoIterator<Item = (u32, u32), IntoIter: ExactSizeIterator>) -> DiGraph<(), ()> {
    let edges = edges.into_iter();
    let mut shape = DiGraph::with_capacity(nodes, edges.len());
    for _ in 0..nodes {
        shape.add_node(());
    }
    for (dependency, dependent) in edges {
        shape.add_edge(NodeIndex::from(dependency), NodeIndex::from(dependent), ());
    }
    shape
}

/// Returns a shortest way of at least one step from `start` to `goal`, both ends included.
fn shortest_way(
    start: NodeIndex,
    goal: NodeIndex,
    next: impl Fn(NodeIndex) -> Vec<NodeIndex>,
) -> Option<Vec<NodeIndex>> {
    let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        for step in next(node) {
            if step == goal {
                let mut way = vec![goal, node];
                let mut at = node;
                while at != start {
                    at = *came_from.get(&at)?;
                    way.push(at);
                }
                way.reverse();
                return Some(way);
            }
            if step != start && !came_from.contains_key(&step) {
                came_from.insert(step, node);
                open.push_back(step);
            }
        }
    }
    None
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("nodes", &self.node_count()).field("edges", &self.edge_count()).finish()
    }
}
