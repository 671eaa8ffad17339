//! The columns with their boxes and bends: every line spans one gap, because long ones are cut at each column they pass.
#![expect(clippy::indexing_slicing, reason = "slots are numbered here, and all tables grow together")]

/// Bends in one picture. Lines that would need more run straight, under the boxes.
pub(super) const BENDS_MAX: usize = 150_000;

/// Boxes and bends by column.
///
/// Slots 0..boxes are the boxes; those above are bends. A forward line shares its bends with the others of the same dependency,
/// so that they run as one trunk and branch where they must.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    /// The slots of each column, top to bottom.
    pub(super) columns: Vec<Vec<usize>>,
    /// The column of each slot.
    pub(super) column_of: Vec<usize>,
    /// Place of each slot in its column.
    pub(super) place: Vec<usize>,
    /// For each slot, those in the column before that it is joined to.
    pub(super) before: Vec<Vec<usize>>,
    /// For each slot, those in the column after that it is joined to.
    pub(super) after: Vec<Vec<usize>>,
    /// Number of boxes.
    pub(super) boxes: usize,
    /// For each arc, the slots it passes, both ends included; empty if it runs straight.
    pub(super) ways: Vec<Vec<usize>>,
}

/// An arc that runs to the right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// The box on the left.
    pub(super) left: usize,
    /// The box on the right.
    pub(super) right: usize,
    /// Whether the line runs against its arc.
    pub(super) reversed: bool,
}

impl Grid {
    /// Cuts `spans` at the columns they pass. Shortest first, so that `budget` bends serve as many lines as possible.
    pub(super) fn new(column_of: Vec<usize>, spans: &[Span], budget: &mut usize) -> Self {
        let boxes = column_of.len();
        let column_count = column_of.iter().max().map_or(0, |last| last + 1);
        let mut grid = Self {
            columns: vec![Vec::new(); column_count],
            place: vec![0; boxes],
            before: vec![Vec::new(); boxes],
            after: vec![Vec::new(); boxes],
            boxes,
            ways: vec![Vec::new(); spans.len()],
            column_of,
        };
        for slot in 0..boxes {
            grid.columns[grid.column_of[slot]].push(slot);
        }
        let mut shortest_first: Vec<usize> = (0..spans.len()).collect();
        shortest_first.sort_by_key(|i| grid.column_of[spans[*i].right] - grid.column_of[spans[*i].left]);
        // The trunk of each box: itself, then its bends, one for each column.
        let mut trunks: Vec<Vec<usize>> = (0..boxes).map(|slot| vec![slot]).collect();
        for i in shortest_first {
            let span = spans[i];
            let needed = grid.column_of[span.right] - grid.column_of[span.left];
            let mut own = vec![span.left];
            let trunk = if span.reversed { &mut own } else { &mut trunks[span.left] };
            if needed.saturating_sub(trunk.len()) > *budget {
                continue;
            }
            while trunk.len() < needed {
                *budget -= 1;
                let bend = grid.add_bend(trunk[trunk.len() - 1]);
                trunk.push(bend);
            }
            let mut way = trunk[..needed].to_vec();
            let last = way[needed - 1];
            grid.join(last, span.right);
            way.push(span.right);
            grid.ways[i] = way;
        }
        grid.number_places();
        grid
    }

    fn add_bend(&mut self, before: usize) -> usize {
        let bend = self.column_of.len();
        let column = self.column_of[before] + 1;
        self.column_of.push(column);
        self.columns[column].push(bend);
        self.place.push(0);
        self.before.push(Vec::new());
        self.after.push(Vec::new());
        self.join(before, bend);
        bend
    }

    fn join(&mut self, left: usize, right: usize) {
        self.after[left].push(right);
        self.before[right].push(left);
    }

    /// Tells whether `slot` is a bend.
    pub(super) fn is_bend(&self, slot: usize) -> bool {
        slot >= self.boxes
    }

    /// Writes down each slot's place after `columns` changed.
    pub(super) fn number_places(&mut self) {
        for column in &self.columns {
            for (place, slot) in column.iter().enumerate() {
                self.place[*slot] = place;
            }
        }
    }

    /// Returns how many slots and joints there are: what one pass over the grid costs.
    pub(super) fn size(&self) -> usize {
        self.column_of.len() + self.after.iter().map(Vec::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(left: usize, right: usize) -> Span {
        Span { left, right, reversed: false }
    }

    #[test]
    fn lines_of_one_dependency_share_their_bends() {
        let spans = [span(0, 1), span(1, 2), span(2, 3), span(0, 3), span(0, 2)];
        let grid = Grid::new(vec![0, 1, 2, 3], &spans, &mut 100);
        assert_eq!(grid.ways, [vec![0, 1], vec![1, 2], vec![2, 3], vec![0, 4, 5, 3], vec![0, 4, 2]]);
        assert_eq!(grid.columns, [vec![0], vec![1, 4], vec![2, 5], vec![3]]);
    }

    #[test]
    fn a_line_without_budget_runs_straight() {
        let spans = [span(0, 1), span(1, 2), span(2, 3), span(0, 3), span(0, 2)];
        let grid = Grid::new(vec![0, 1, 2, 3], &spans, &mut 1);
        assert_eq!(grid.ways[4], [0, 4, 2]);
        assert!(grid.ways[3].is_empty());
    }
}
