//! Connected pieces of the graph, and where each goes on the sheet.
#![expect(clippy::indexing_slicing, reason = "boxes are numbered by the caller, pieces here")]

use super::piece::Piece;
use super::{Arc, NODE_GAP, Placement, Rect, Size};

/// Distance between two pieces.
const PIECE_GAP: f64 = 44.0;

/// Width of the sheet for each unit of its height, where the pieces leave a choice.
const ASPECT: f64 = 1.7;

/// The boxes and arcs of a connected piece, in ascending order.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Positions of the boxes in the whole graph.
    pub(super) boxes: Vec<usize>,
    /// Positions of the arcs in the whole graph.
    pub(super) arcs: Vec<usize>,
}

/// Splits the graph into connected groups, largest first, and the boxes without arcs.
pub(super) fn split(count: usize, arcs: &[Arc]) -> (Vec<Group>, Vec<usize>) {
    let mut parent: Vec<usize> = (0..count).collect();
    for arc in arcs {
        let (a, b) = (find(&mut parent, arc.from), find(&mut parent, arc.to));
        // The smaller number becomes the root: groups are then found in the order of their first box.
        parent[a.max(b)] = a.min(b);
    }
    let mut groups: Vec<Group> = vec![Group::default(); count];
    for slot in 0..count {
        groups[find(&mut parent, slot)].boxes.push(slot);
    }
    for (i, arc) in arcs.iter().enumerate() {
        groups[find(&mut parent, arc.from)].arcs.push(i);
    }
    groups.retain(|group| !group.boxes.is_empty());
    let (mut joined, single): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(|group| group.boxes.len() > 1);
    joined.sort_by_key(|group| std::cmp::Reverse(group.boxes.len()));
    (joined, single.into_iter().flat_map(|group| group.boxes).collect())
}

fn find(parent: &mut [usize], mut slot: usize) -> usize {
    while parent[slot] != slot {
        parent[slot] = parent[parent[slot]];
        slot = parent[slot];
    }
    slot
}

/// Puts the pieces on shelves and the single boxes in rows below.
pub(super) fn assemble(sizes: &[Size], arc_count: usize, pieces: Vec<Piece>, singles: &[usize]) -> Placement {
    let single_width = singles.iter().map(|b| sizes[*b].width).fold(0.0, f64::max);
    let single_height = singles.iter().map(|b| sizes[*b].height).fold(0.0, f64::max);
    let area: f64 = pieces.iter().map(|piece| (piece.width + PIECE_GAP) * (piece.height + PIECE_GAP)).sum::<f64>()
        + singles.len() as f64 * (single_width + NODE_GAP) * (single_height + NODE_GAP);
    let widest = pieces.iter().map(|piece| piece.width).fold(single_width, f64::max);
    let sheet_width = widest.max((area * ASPECT).sqrt());

    let mut placement = Placement {
        boxes: vec![Rect::default(); sizes.len()],
        routes: vec![super::Route::default(); arc_count],
        ..Placement::default()
    };
    let mut shelf = Shelf::default();
    for piece in pieces {
        let (x, y) = shelf.place(piece.width, piece.height, sheet_width);
        placement.put(piece, x, y);
    }
    let mut y = shelf.bottom();
    let per_row = ((sheet_width + NODE_GAP) / (single_width + NODE_GAP)).floor().max(1.0);
    let mut x = 0.0;
    for b in singles {
        if x > 0.0 && x + single_width > per_row * (single_width + NODE_GAP) {
            (x, y) = (0.0, y + single_height + NODE_GAP);
        }
        placement.put_box(*b, Rect { x, y, width: single_width, height: sizes[*b].height });
        x += single_width + NODE_GAP;
    }
    placement
}

/// Rows of pieces; what is lower than its row shares it with others below each other.
#[derive(Default)]
struct Shelf {
    /// Upper edge and height of the row; the first piece sets the height.
    top: f64,
    height: f64,
    /// The stack that is being filled: left edge, width, next free height.
    x: f64,
    width: f64,
    y: f64,
}

impl Shelf {
    fn place(&mut self, width: f64, height: f64, sheet_width: f64) -> (f64, f64) {
        let fits_below = height <= self.top + self.height - self.y && self.x + width <= sheet_width;
        if !fits_below {
            let right = if self.width > 0.0 { self.x + self.width + PIECE_GAP } else { 0.0 };
            if self.height > 0.0 && right + width <= sheet_width && height <= self.height {
                (self.x, self.width, self.y) = (right, 0.0, self.top);
            } else {
                let top = self.bottom();
                *self = Self { top, height, x: 0.0, width: 0.0, y: top };
            }
        }
        let placed = (self.x, self.y);
        self.width = self.width.max(width);
        self.y += height + PIECE_GAP;
        placed
    }

    /// Returns where the next row starts.
    fn bottom(&self) -> f64 {
        if self.height > 0.0 { self.top + self.height + PIECE_GAP } else { 0.0 }
    }
}

impl Placement {
    fn put(&mut self, piece: Piece, x: f64, y: f64) {
        for (b, rect) in piece.boxes {
            self.put_box(b, Rect { x: rect.x + x, y: rect.y + y, ..rect });
        }
        for (arc, mut route) in piece.routes {
            route.x += x;
            route.y += y;
            for hop in &mut route.hops {
                hop.bend_x += x;
                hop.end_x += x;
                hop.y += y;
                self.height = self.height.max(hop.y);
            }
            self.routes[arc] = route;
        }
    }

    fn put_box(&mut self, b: usize, rect: Rect) {
        self.width = self.width.max(rect.right());
        self.height = self.height.max(rect.bottom());
        self.boxes[b] = rect;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arc(from: usize, to: usize) -> Arc {
        Arc { from, to, lead: 20.0 }
    }

    #[test]
    fn splits_into_connected_groups_and_singles() {
        let (groups, singles) = split(7, &[arc(5, 1), arc(3, 2), arc(1, 6)]);
        assert_eq!(groups.iter().map(|group| group.boxes.clone()).collect::<Vec<_>>(), [vec![1, 5, 6], vec![2, 3]]);
        assert_eq!(groups[0].arcs, [0, 2]);
        assert_eq!(singles, [0, 4]);
    }

    #[test]
    fn low_pieces_are_stacked_beside_a_high_one() {
        let mut shelf = Shelf::default();
        assert_eq!(shelf.place(100.0, 200.0, 400.0), (0.0, 0.0));
        assert_eq!(shelf.place(100.0, 60.0, 400.0), (144.0, 0.0));
        assert_eq!(shelf.place(100.0, 60.0, 400.0), (144.0, 104.0));
        assert_eq!(shelf.place(100.0, 60.0, 400.0), (288.0, 0.0));
        assert_eq!(shelf.place(200.0, 60.0, 400.0), (0.0, 244.0));
    }
}
