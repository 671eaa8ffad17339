//! Where boxes and lines go: a layered layout from left to right, after Sugiyama, Tagawa and Toda (1981).
//!
//! [`rank`] opens cycles and gives each box a column, [`grid`] routes long lines through the columns between, [`order`] sorts each
//! column to avoid crossings, [`align`] gives heights so that lines run straight, [`piece`] turns that into coordinates for one
//! connected piece, and [`pack`] places the pieces. No clock and no randomness: equal inputs give equal pictures, and every
//! step's work is bounded by a named constant times the size of the graph.

mod align;
mod grid;
mod order;
mod pack;
mod piece;
mod rank;

/// Vertical distance between two boxes, in pixels like all lengths here.
pub(super) const NODE_GAP: f64 = 18.0;

/// Vertical distance of two lines that end at the same box, where there is room.
pub(super) const PORT_GAP: f64 = 15.0;

/// A box to be placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Least width; boxes of one column are made equally wide.
    pub(super) width: f64,
    /// Height.
    pub(super) height: f64,
}

/// A line to be placed, from a dependency to its dependent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arc {
    /// Position of the dependency among the sizes.
    pub(super) from: usize,
    /// Position of the dependent among the sizes; not `from`.
    pub(super) to: usize,
    /// Straight length to leave in front of the box where the line ends, for a label and the arrowhead.
    pub(super) lead: f64,
}

/// A placed box.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rect {
    /// Left edge.
    pub(super) x: f64,
    /// Upper edge.
    pub(super) y: f64,
    /// Width.
    pub(super) width: f64,
    /// Height.
    pub(super) height: f64,
}

/// A placed line, from left to right.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Route {
    /// Left end: on the right edge of a box.
    pub(super) x: f64,
    /// Height of the left end.
    pub(super) y: f64,
    /// The way from there; the last hop ends on the left edge of a box.
    pub(super) hops: Vec<Hop>,
    /// Whether the line closes a cycle: then its left end is the dependent.
    pub(super) reversed: bool,
}

/// A curve to `(bend_x, y)`, then a straight line to `(end_x, y)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hop {
    /// Where the curve ends.
    pub(super) bend_x: f64,
    /// The height reached.
    pub(super) y: f64,
    /// Where the straight line ends.
    pub(super) end_x: f64,
}

/// A finished layout, its upper left corner at the origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Placement {
    /// The boxes, as the sizes were given.
    pub(super) boxes: Vec<Rect>,
    /// The lines, as the arcs were given.
    pub(super) routes: Vec<Route>,
    /// Extent to the right.
    pub(super) width: f64,
    /// Extent downwards.
    pub(super) height: f64,
}

/// Places boxes and lines. `arcs` hold each ordered pair at most once and only positions within `sizes`.
pub(super) fn lay_out(sizes: &[Size], arcs: &[Arc]) -> Placement {
    let mut budget = grid::BENDS_MAX;
    let (groups, singles) = pack::split(sizes.len(), arcs);
    let pieces = groups.iter().map(|group| piece::lay_out(sizes, arcs, group, &mut budget)).collect();
    pack::assemble(sizes, arcs.len(), pieces, &singles)
}

impl Rect {
    /// Returns the lower edge.
    pub(super) fn bottom(&self) -> f64 {
        self.y + self.height
    }

    /// Returns the right edge.
    pub(super) fn right(&self) -> f64 {
        self.x + self.width
    }
}

#[cfg(test)]
mod tests;
