//! The dependency graph as text: a picture (SVG), a terminal tree, DOT, Mermaid and JSON.
//!
//! Everything here is pure: a [`GraphPicture`] goes in, a `String` comes out. The module knows no registry, no terminal and no
//! files; whoever fills the picture decides which components are in it. Reading order: this file, [`links`] (names become
//! numbers), [`tree`], [`dot`], [`mermaid`], [`json`], then [`layout`] (where boxes and lines go) and [`svg`] (how they look).
//!
//! Every name may come from a guest or a stranger's manifest, so each renderer escapes for its own format.

mod dot;
mod json;
mod layout;
mod links;
mod mermaid;
mod short;
mod svg;
mod tree;

#[cfg(test)]
mod samples;

use clap::ValueEnum;
use domain::status::Status;

pub(crate) use tree::Colour;

/// The label of an edge that was declared rather than derived from an import.
pub(crate) const DECLARED_LABEL: &str = "depends_on";

/// What `graph` can print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A graph for Graphviz.
    Dot,
    /// A picture, laid out, for browsers and image viewers.
    Svg,
    /// A flowchart for Markdown.
    Mermaid,
    /// Nodes and edges as one JSON document.
    Json,
    /// A tree for the terminal, from dependents down to what they need.
    Tree,
}

/// Components and the edges between them, ready to be drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GraphPicture {
    /// What the picture shows, for its heading; empty: "Components".
    pub(crate) title: String,
    /// The components, in any order; of several with one id the first counts.
    pub(crate) nodes: Vec<Node>,
    /// The edges, in any order; an end that is no node is drawn as a missing component.
    pub(crate) edges: Vec<Edge>,
}

/// One component of a picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// `namespace:name`; edges refer to it.
    pub(crate) id: String,
    /// What is shown large; the name without its namespace is a good choice.
    pub(crate) label: String,
    /// The version shown; empty: none.
    pub(crate) version: String,
    /// The free word for what sort of component it is.
    pub(crate) kind: String,
    /// Where the entry stands.
    pub(crate) status: Status,
    /// Whether something is wrong with it that its status does not say: its last probe or call failed.
    pub(crate) error: bool,
    /// Imports that nobody provides, or several do.
    pub(crate) unresolved: Vec<String>,
}

/// One edge of a picture: `to` needs `from`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edge {
    /// The dependency.
    pub(crate) from: String,
    /// The dependent.
    pub(crate) to: String,
    /// The interface that makes the edge, or [`DECLARED_LABEL`].
    pub(crate) label: String,
    /// Whether the edge was declared, not derived from an import.
    pub(crate) declared: bool,
    /// Whether the code of the dependency is part of the dependent's unit.
    pub(crate) fused: bool,
}

/// Renders `picture` as `format`; the text ends with a line feed.
///
/// The result does not depend on the order of nodes and edges, JSON aside, which keeps it. `colour` is heeded by the tree
/// alone. Time and memory are bounded for any input: roughly linear in nodes and edges.
pub(crate) fn render(picture: &GraphPicture, format: GraphFormat, colour: Colour) -> String {
    match format {
        GraphFormat::Dot => dot::render(picture),
        GraphFormat::Svg => svg::render(picture),
        GraphFormat::Mermaid => mermaid::render(picture),
        GraphFormat::Json => json::render(picture),
        GraphFormat::Tree => tree::render(picture, colour),
    }
}
