//! The height of each slot: lines straight, boxes between their neighbours.
//!
//! Brandes and Köpf, "Fast and simple horizontal coordinate assignment" (2001), turned by a quarter: four extreme alignments,
//! then the mean of the two middle ones. Blocks are placed by longest ways, which the authors' erratum of 2020 also does.
#![expect(clippy::indexing_slicing, reason = "slots and places are numbered by the grid")]

use std::collections::HashSet;

use super::grid::Grid;

/// Returns the middle of each slot, so that slots of one column keep the distance that `separation(upper, lower)` gives.
pub(super) fn heights(grid: &Grid, separation: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let conflicts = conflicts(grid);
    let mut drafts = Vec::with_capacity(4);
    for leftwards in [false, true] {
        for upwards in [false, true] {
            drafts.push(draft(grid, &conflicts, leftwards, upwards, &separation));
        }
    }
    let mut middle = combine(&drafts);
    // Rounding could bring two slots closer than they may be by the last bits.
    for column in &grid.columns {
        for pair in column.windows(2) {
            if let [upper, lower] = *pair {
                middle[lower] = middle[lower].max(middle[upper] + separation(upper, lower));
            }
        }
    }
    middle
}

/// Returns the joints (left, right) that give way: they cross a joint between two bends, which shall be straight.
fn conflicts(grid: &Grid) -> HashSet<(usize, usize)> {
    let mut found = HashSet::new();
    for columns in grid.columns.windows(2) {
        let [left, right] = columns else { continue };
        let (mut first_free, mut scanned) = (0, 0);
        for (place, slot) in right.iter().enumerate() {
            let trunk = grid.before[*slot].iter().find(|n| grid.is_bend(*slot) && grid.is_bend(**n));
            if trunk.is_none() && place + 1 < right.len() {
                continue;
            }
            let bound = trunk.map_or(left.len(), |n| grid.place[*n]);
            for lower in &right[scanned..=place] {
                for n in &grid.before[*lower] {
                    let crosses = grid.place[*n] < first_free || grid.place[*n] > bound;
                    if crosses && !(grid.is_bend(*n) && grid.is_bend(*lower)) {
                        found.insert((*n, *lower));
                    }
                }
            }
            scanned = place + 1;
            first_free = bound;
        }
    }
    found
}

/// The grid as one of the four runs sees it: perhaps right to left, perhaps bottom up.
struct View {
    columns: Vec<Vec<usize>>,
    place: Vec<usize>,
    before: Vec<Vec<usize>>,
}

impl View {
    fn new(grid: &Grid, leftwards: bool, upwards: bool) -> Self {
        let mut columns = grid.columns.clone();
        let mut before = if leftwards { grid.after.clone() } else { grid.before.clone() };
        if leftwards {
            columns.reverse();
        }
        if upwards {
            columns.iter_mut().for_each(|column| column.reverse());
        }
        let mut place = vec![0; grid.place.len()];
        for column in &columns {
            for (i, slot) in column.iter().enumerate() {
                place[*slot] = i;
            }
        }
        before.iter_mut().for_each(|list| list.sort_unstable_by_key(|n| place[*n]));
        Self { columns, place, before }
    }
}

fn draft(
    grid: &Grid,
    conflicts: &HashSet<(usize, usize)>,
    leftwards: bool,
    upwards: bool,
    separation: &impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    let view = View::new(grid, leftwards, upwards);
    let gives_way = |a: usize, b: usize| conflicts.contains(&if leftwards { (b, a) } else { (a, b) });
    let root = blocks(&view, gives_way);
    let distance =
        |above: usize, below: usize| if upwards { separation(below, above) } else { separation(above, below) };
    let mut heights = compact(&view, &root, distance);
    if upwards {
        heights.iter_mut().for_each(|y| *y = -*y);
    }
    heights
}

/// Joins each slot with the middle one of its neighbours where that crosses nothing; returns the first slot of each one's block.
fn blocks(view: &View, gives_way: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut root: Vec<usize> = (0..view.place.len()).collect();
    for column in &view.columns {
        // Places of the column before that are still free start here.
        let mut free = 0;
        for slot in column {
            let neighbours = &view.before[*slot];
            let Some(last) = neighbours.len().checked_sub(1) else { continue };
            for middle in [last / 2, last.div_ceil(2)] {
                let n = neighbours[middle];
                if view.place[n] >= free && !gives_way(n, *slot) {
                    root[*slot] = root[n];
                    free = view.place[n] + 1;
                    break;
                }
            }
        }
    }
    root
}

/// Places blocks as high as their separations allow, then lets each down as far as the ones below leave room.
fn compact(view: &View, root: &[usize], distance: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let count = root.len();
    let mut below: Vec<Vec<(usize, f64)>> = vec![Vec::new(); count];
    let mut waiting = vec![0_usize; count];
    for pair in view.columns.iter().flat_map(|column| column.windows(2)) {
        if let [a, b] = *pair {
            below[root[a]].push((root[b], distance(a, b)));
            waiting[root[b]] += 1;
        }
    }
    let mut order: Vec<usize> = (0..count).filter(|slot| root[*slot] == *slot && waiting[*slot] == 0).collect();
    let mut y = vec![0.0_f64; count];
    let mut next = 0;
    while let Some(&block) = order.get(next) {
        next += 1;
        for &(lower, distance) in &below[block] {
            y[lower] = y[lower].max(y[block] + distance);
            waiting[lower] -= 1;
            if waiting[lower] == 0 {
                order.push(lower);
            }
        }
    }
    for &block in order.iter().rev() {
        let room = below[block].iter().map(|&(lower, distance)| y[lower] - distance).fold(f64::INFINITY, f64::min);
        if room.is_finite() {
            y[block] = y[block].max(room);
        }
    }
    (0..count).map(|slot| y[root[slot]]).collect()
}

/// Lays the four drafts over one another, on the edge of the smallest, and takes the mean of the middle two of each slot.
fn combine(drafts: &[Vec<f64>]) -> Vec<f64> {
    let extent = |draft: &[f64]| {
        let low = draft.iter().copied().fold(f64::INFINITY, f64::min);
        (low, draft.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    };
    let extents: Vec<(f64, f64)> = drafts.iter().map(|draft| extent(draft)).collect();
    let smallest = extents.iter().copied().min_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0))).unwrap_or((0.0, 0.0));
    // Drafts alternate between top down, which have their flush edge above, and bottom up.
    let shifts: Vec<f64> = extents
        .iter()
        .enumerate()
        .map(|(i, (low, high))| if i.is_multiple_of(2) { smallest.0 - low } else { smallest.1 - high })
        .collect();
    (0..drafts.first().map_or(0, Vec::len))
        .map(|slot| {
            let mut four: Vec<f64> = drafts.iter().zip(&shifts).map(|(draft, shift)| draft[slot] + shift).collect();
            four.sort_unstable_by(f64::total_cmp);
            (four[1] + four[2]) / 2.0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::grid::Span;
    use super::*;

    #[test]
    fn a_long_line_runs_straight_beside_the_boxes_it_passes() {
        let arcs = [(0, 1), (1, 2), (2, 3), (0, 3)];
        let spans: Vec<Span> = arcs.iter().map(|&(left, right)| Span { left, right, reversed: false }).collect();
        let grid = Grid::new(vec![0, 1, 2, 3], &spans, &mut 10);
        let y = heights(&grid, |_, _| 10.0);
        assert_eq!(y[4], y[5]);
        assert_eq!(y[1], y[2]);
        assert!((y[4] - y[1]).abs() >= 10.0);
    }

    #[test]
    fn a_box_stands_in_the_middle_of_its_neighbours() {
        let arcs = [(0, 3), (1, 3), (2, 3)];
        let spans: Vec<Span> = arcs.iter().map(|&(left, right)| Span { left, right, reversed: false }).collect();
        let grid = Grid::new(vec![0, 0, 0, 1], &spans, &mut 10);
        let y = heights(&grid, |_, _| 10.0);
        assert_eq!(y[3], y[1]);
    }
}
