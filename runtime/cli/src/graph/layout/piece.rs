//! The layout of one connected piece of the graph.
#![expect(clippy::indexing_slicing, reason = "slots are numbered by the grid, boxes and arcs by the group")]

use super::grid::{Grid, Span};
use super::pack::Group;
use super::{Arc, Hop, NODE_GAP, PORT_GAP, Rect, Route, Size, align, order, rank};

/// Height that a bend takes.
const BEND_HEIGHT: f64 = 4.0;

/// Distance of a bend from what is above and below it.
const BEND_GAP: f64 = 10.0;

/// Least and greatest width of the curves between two columns.
const CURVE_WIDTHS: (f64, f64) = (44.0, 240.0);

/// How much of the greatest climb between two columns goes into the width of the curves there.
const CURVE_SLOPE: f64 = 0.22;

/// A climb up to this is taken away by moving a box or bend, where there is room.
const JOG_MAX: f64 = 12.0;

/// How far below the middle a line that closes a cycle starts, to keep its arrowhead apart from the lines that leave.
const REVERSED_DROP: f64 = 9.0;

/// The boxes and lines of one piece, with its upper left corner at the origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Piece {
    /// Box positions as in the whole graph, with their places here.
    pub(super) boxes: Vec<(usize, Rect)>,
    /// Arc positions as in the whole graph, with their routes here.
    pub(super) routes: Vec<(usize, Route)>,
    /// Extent to the right.
    pub(super) width: f64,
    /// Extent downwards.
    pub(super) height: f64,
}

/// Lays out `group`; bends are taken from `budget`.
pub(super) fn lay_out(sizes: &[Size], arcs: &[Arc], group: &Group, budget: &mut usize) -> Piece {
    let local: std::collections::HashMap<usize, usize> = group.boxes.iter().enumerate().map(|(i, b)| (*b, i)).collect();
    let ends: Vec<(usize, usize)> = group.arcs.iter().map(|a| (local[&arcs[*a].from], local[&arcs[*a].to])).collect();
    let turned = rank::break_cycles(group.boxes.len(), &ends);
    let spans: Vec<Span> = ends
        .iter()
        .zip(turned)
        .map(|(&(from, to), reversed)| {
            let (left, right) = if reversed { (to, from) } else { (from, to) };
            Span { left, right, reversed }
        })
        .collect();
    let rightwards: Vec<(usize, usize)> = spans.iter().map(|span| (span.left, span.right)).collect();
    let column_of = rank::columns(group.boxes.len(), &rightwards);
    let mut grid = Grid::new(column_of, &spans, budget);
    order::sort_columns(&mut grid);

    let heights: Vec<f64> = group.boxes.iter().map(|b| sizes[*b].height).collect();
    let ports = ports(&grid, &spans, &heights);
    let mut draft = Draft { grid, spans, heights, ports, middle: Vec::new() };
    draft.middle = align::heights(&draft.grid, |upper, lower| draft.separation(upper, lower));
    draft.straighten();
    draft.rest_at_origin();
    draft.finish(sizes, arcs, group)
}

/// A piece whose columns and orders are known.
struct Draft {
    grid: Grid,
    spans: Vec<Span>,
    /// Heights of the boxes.
    heights: Vec<f64>,
    /// For each span, where it ends: relative to the middle of its right box.
    ports: Vec<f64>,
    /// The middle of each slot.
    middle: Vec<f64>,
}

/// Spreads the lines that end at one box over its left edge, in the order in which they come.
fn ports(grid: &Grid, spans: &[Span], heights: &[f64]) -> Vec<f64> {
    let mut arriving: Vec<Vec<usize>> = vec![Vec::new(); grid.boxes];
    for (i, span) in spans.iter().enumerate() {
        arriving[span.right].push(i);
    }
    let mut ports = vec![0.0; spans.len()];
    for (slot, arriving) in arriving.iter_mut().enumerate() {
        let place_before = |i: &usize| match grid.ways[*i].as_slice() {
            [.., last, _] => grid.place[*last],
            _ => usize::MAX,
        };
        arriving.sort_by_key(|i| (place_before(i), *i));
        let gaps = arriving.len().saturating_sub(1) as f64;
        let step = if gaps > 0.0 { PORT_GAP.min((heights[slot] - 16.0) / gaps).max(0.0) } else { 0.0 };
        for (i, arc) in arriving.iter().enumerate() {
            ports[*arc] = step * (i as f64 - gaps / 2.0);
        }
    }
    ports
}

impl Draft {
    fn height(&self, slot: usize) -> f64 {
        self.heights.get(slot).copied().unwrap_or(BEND_HEIGHT)
    }

    /// Returns the least distance between the middles of two neighbours in a column.
    fn separation(&self, upper: usize, lower: usize) -> f64 {
        let gap = if self.grid.is_bend(upper) || self.grid.is_bend(lower) { BEND_GAP } else { NODE_GAP };
        f64::midpoint(self.height(upper), self.height(lower)) + gap
    }

    /// Moves slots a little, from left to right, where that makes a line straight that nearly is.
    fn straighten(&mut self) {
        let mut arriving: Vec<Vec<(usize, f64)>> = vec![Vec::new(); self.grid.column_of.len()];
        for (way, port) in self.grid.ways.iter().zip(&self.ports) {
            if let [.., before, last] = *way.as_slice() {
                arriving[last].push((before, *port));
            }
        }
        for (arriving, before) in arriving.iter_mut().zip(&self.grid.before).skip(self.grid.boxes) {
            arriving.extend(before.iter().map(|before| (*before, 0.0)));
        }
        for column in &self.grid.columns {
            for (place, &slot) in column.iter().enumerate() {
                let climbs =
                    arriving[slot].iter().map(|(before, port)| self.middle[*before] - self.middle[slot] - port);
                let Some(climb) = climbs.min_by(|a, b| a.abs().total_cmp(&b.abs())) else { continue };
                let wanted = self.middle[slot] + climb;
                let above = place.checked_sub(1).map(|i| self.middle[column[i]] + self.separation(column[i], slot));
                let below = column.get(place + 1).map(|n| self.middle[*n] - self.separation(slot, *n));
                let fits = above.is_none_or(|least| wanted >= least) && below.is_none_or(|most| wanted <= most);
                if climb.abs() <= JOG_MAX && fits {
                    self.middle[slot] = wanted;
                }
            }
        }
    }

    /// Moves all so that the highest edge is at 0.
    fn rest_at_origin(&mut self) {
        let tops = (0..self.middle.len()).map(|slot| self.middle[slot] - self.height(slot) / 2.0);
        let top = tops.fold(f64::INFINITY, f64::min);
        if top.is_finite() {
            self.middle.iter_mut().for_each(|y| *y -= top);
        }
    }

    fn start_y(&self, span: &Span) -> f64 {
        self.middle[span.left] + if span.reversed { REVERSED_DROP } else { 0.0 }
    }

    fn end_y(&self, i: usize) -> f64 {
        self.middle[self.spans[i].right] + self.ports[i]
    }

    /// Returns left and right edge of each column, and where the curves in front of it end.
    fn column_edges(&self, sizes: &[Size], arcs: &[Arc], group: &Group) -> Vec<Column> {
        let count = self.grid.columns.len();
        let (mut climb, mut lead, mut width) = (vec![0.0_f64; count], vec![0.0_f64; count], vec![0.0_f64; count]);
        for (slot, b) in group.boxes.iter().enumerate() {
            let column = self.grid.column_of[slot];
            width[column] = width[column].max(sizes[*b].width);
        }
        for (i, way) in self.grid.ways.iter().enumerate() {
            let column = self.grid.column_of[self.spans[i].right];
            lead[column] = lead[column].max(arcs[group.arcs[i]].lead);
            let mut y = self.start_y(&self.spans[i]);
            for slot in way.iter().skip(1) {
                let next = if self.grid.is_bend(*slot) { self.middle[*slot] } else { self.end_y(i) };
                let column = self.grid.column_of[*slot];
                climb[column] = climb[column].max((next - y).abs());
                y = next;
            }
        }
        let mut columns: Vec<Column> = Vec::with_capacity(count);
        let mut right = None;
        for i in 0..count {
            let bend_x = right.map_or(0.0, |x| x + (climb[i] * CURVE_SLOPE + CURVE_WIDTHS.0).min(CURVE_WIDTHS.1));
            let left = bend_x + if i > 0 { lead[i] } else { 0.0 };
            columns.push(Column { bend_x, left, right: left + width[i] });
            right = Some(left + width[i]);
        }
        columns
    }

    fn finish(&self, sizes: &[Size], arcs: &[Arc], group: &Group) -> Piece {
        let columns = self.column_edges(sizes, arcs, group);
        let mut piece = Piece::default();
        for (slot, b) in group.boxes.iter().enumerate() {
            let column = columns[self.grid.column_of[slot]];
            let (height, width) = (self.height(slot), column.right - column.left);
            piece.boxes.push((*b, Rect { x: column.left, y: self.middle[slot] - height / 2.0, width, height }));
        }
        for (i, span) in self.spans.iter().enumerate() {
            let (start, end) = (columns[self.grid.column_of[span.left]], columns[self.grid.column_of[span.right]]);
            let last = Hop { bend_x: end.bend_x, y: self.end_y(i), end_x: end.left };
            let bends = self.grid.ways[i].iter().filter(|slot| self.grid.is_bend(**slot)).map(|slot| {
                let column = columns[self.grid.column_of[*slot]];
                Hop { bend_x: column.bend_x, y: self.middle[*slot], end_x: column.right }
            });
            let hops = bends.chain([last]).collect();
            let route = Route { x: start.right, y: self.start_y(span), hops, reversed: span.reversed };
            piece.routes.push((group.arcs[i], route));
        }
        let bottoms = (0..self.middle.len()).map(|slot| self.middle[slot] + self.height(slot) / 2.0);
        piece.height = bottoms.fold(0.0, f64::max);
        piece.width = columns.last().map_or(0.0, |column| column.right);
        piece
    }
}

/// The horizontal extent of a column.
#[derive(Clone, Copy)]
struct Column {
    /// Where the curves that come from the left end.
    bend_x: f64,
    left: f64,
    right: f64,
}
