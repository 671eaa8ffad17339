//! The order within each column: few crossings.
//!
//! Barycentre sweeps with exchanges of neighbours, as in Gansner, Koutsofios, North and Vo, "A technique for drawing directed
//! graphs" (1993); crossings are counted as in Barth, Jünger and Mutzel (2002).
#![expect(clippy::indexing_slicing, reason = "slots and places are numbered by the grid")]

use super::grid::Grid;

/// Work for sorting one connected piece, in slots and joints visited.
const WORK_MAX: usize = 4_000_000;

/// Sweeps that are worth their time at most.
const SWEEPS_MAX: usize = 32;

/// Sweeps without improvement before giving up.
const PATIENCE: usize = 6;

/// Rounds of exchanges after one sweep.
const EXCHANGE_ROUNDS: usize = 4;

/// Sorts the columns of `grid`: the best of several starts and sweeps.
pub(super) fn sort_columns(grid: &mut Grid) {
    // A sweep, a count and the exchanges after it cost about eight passes.
    let sweeps = (WORK_MAX / (8 * grid.size().max(1))).clamp(2, SWEEPS_MAX);
    let starts: &[Start] =
        if sweeps == SWEEPS_MAX { &[Start::FromLeft, Start::FromRight, Start::AsGiven] } else { &[Start::FromLeft] };
    let mut best: Option<(u64, Vec<Vec<usize>>)> = None;
    for start in starts {
        arrange(grid, *start);
        let mut stale = 0;
        for sweep in 0..sweeps {
            let crossings = count_crossings(grid);
            if best.as_ref().is_none_or(|(least, _)| crossings < *least) {
                best = Some((crossings, grid.columns.clone()));
                stale = 0;
            } else {
                stale += 1;
            }
            if crossings == 0 || stale > PATIENCE {
                break;
            }
            sweep_once(grid, sweep);
            exchange(grid);
        }
    }
    // The order after the last sweep was not counted above.
    let crossings = count_crossings(grid);
    if let Some((least, columns)) = best
        && least <= crossings
    {
        grid.columns = columns;
        grid.number_places();
    }
}

#[derive(Clone, Copy)]
enum Start {
    FromLeft,
    FromRight,
    AsGiven,
}

/// Puts slots in the order in which a depth-first walk meets them, which draws a tree without crossings.
fn arrange(grid: &mut Grid, start: Start) {
    let count = grid.column_of.len();
    let mut by_column: Vec<usize> = grid.columns.iter().flatten().copied().collect();
    by_column.sort_by_key(|slot| (grid.column_of[*slot], *slot));
    match start {
        Start::FromLeft | Start::AsGiven => {}
        Start::FromRight => by_column.reverse(),
    }
    let mut met: Vec<usize> = Vec::with_capacity(count);
    let mut seen = vec![false; count];
    for slot in by_column {
        let mut stack = vec![slot];
        while let Some(slot) = stack.pop() {
            if std::mem::replace(&mut seen[slot], true) {
                continue;
            }
            met.push(slot);
            match start {
                Start::FromLeft => stack.extend(grid.after[slot].iter().rev()),
                Start::FromRight => stack.extend(grid.before[slot].iter().rev()),
                Start::AsGiven => {}
            }
        }
    }
    grid.columns.iter_mut().for_each(Vec::clear);
    for slot in met {
        grid.columns[grid.column_of[slot]].push(slot);
    }
    grid.number_places();
}

/// Sorts each column by the mean place of its neighbours, forwards in even sweeps and backwards in odd ones. Every other pair of
/// sweeps reverses equals, which gets it out of corners.
fn sweep_once(grid: &mut Grid, sweep: usize) {
    let turn_equals = sweep % 4 >= 2;
    let last = grid.columns.len().saturating_sub(1);
    for step in 1..=last {
        let forwards = sweep.is_multiple_of(2);
        let column = if forwards { step } else { last - step };
        sort_column(grid, column, forwards, turn_equals);
    }
}

fn sort_column(grid: &mut Grid, column: usize, forwards: bool, turn_equals: bool) {
    let slots = std::mem::take(&mut grid.columns[column]);
    let neighbours = if forwards { &grid.before } else { &grid.after };
    let mut keyed: Vec<(f64, usize, usize)> = Vec::with_capacity(slots.len());
    for (place, slot) in slots.iter().enumerate() {
        let places = neighbours[*slot].iter().map(|n| grid.place[*n]);
        let count = places.len();
        if count > 0 {
            let tie = if turn_equals { slots.len() - place } else { place };
            keyed.push((places.sum::<usize>() as f64 / count as f64, tie, *slot));
        }
    }
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    // Slots without neighbours on that side keep their places.
    let mut sorted = keyed.into_iter().map(|(_, _, slot)| slot);
    let result: Vec<usize> = slots
        .iter()
        .filter_map(|slot| if neighbours[*slot].is_empty() { Some(*slot) } else { sorted.next() })
        .collect();
    for (place, slot) in result.iter().enumerate() {
        grid.place[*slot] = place;
    }
    grid.columns[column] = result;
}

/// Exchanges neighbours in a column while that saves crossings.
fn exchange(grid: &mut Grid) {
    for _ in 0..EXCHANGE_ROUNDS {
        let mut saved = false;
        for slot in 0..grid.column_of.len() {
            let place = &grid.place;
            grid.before[slot].sort_unstable_by_key(|n| place[*n]);
            grid.after[slot].sort_unstable_by_key(|n| place[*n]);
        }
        for column in 0..grid.columns.len() {
            // Places change as we go, but only within this column, and neighbours lie in others.
            for i in 1..grid.columns[column].len() {
                let (upper, lower) = (grid.columns[column][i - 1], grid.columns[column][i]);
                let now = pair_crossings(grid, upper, lower);
                if now > 0 && pair_crossings(grid, lower, upper) < now {
                    grid.columns[column].swap(i - 1, i);
                    (grid.place[lower], grid.place[upper]) = (i - 1, i);
                    saved = true;
                }
            }
            for side in [column.checked_sub(1), Some(column + 1)].into_iter().flatten() {
                resort_neighbours(grid, side, column);
            }
        }
        if !saved {
            break;
        }
    }
}

/// Restores the order of the neighbour lists of column `of` that point into `changed`.
fn resort_neighbours(grid: &mut Grid, of: usize, changed: usize) {
    let Some(slots) = grid.columns.get(of) else { return };
    let place = &grid.place;
    for slot in slots {
        let list = if of < changed { &mut grid.after[*slot] } else { &mut grid.before[*slot] };
        list.sort_unstable_by_key(|n| place[*n]);
    }
}

/// Counts the crossings between the lines of two slots of one column if `upper` stands above `lower`.
fn pair_crossings(grid: &Grid, upper: usize, lower: usize) -> usize {
    let crossings = |upper: &[usize], lower: &[usize]| {
        let (mut below, mut total) = (0, 0);
        for n in upper {
            while below < lower.len() && grid.place[lower[below]] < grid.place[*n] {
                below += 1;
            }
            total += below;
        }
        total
    };
    crossings(&grid.before[upper], &grid.before[lower]) + crossings(&grid.after[upper], &grid.after[lower])
}

/// Counts all crossings, in O(joints · log places).
pub(super) fn count_crossings(grid: &Grid) -> u64 {
    let mut total = 0;
    for columns in grid.columns.windows(2) {
        let [left, right] = columns else { continue };
        let mut tree = vec![0_u64; right.len() + 1];
        let mut inserted = 0;
        for slot in left {
            let ends = grid.after[*slot].iter().map(|n| grid.place[*n]);
            for end in ends.clone() {
                let mut not_below = 0;
                let mut i = end + 1;
                while i > 0 {
                    not_below += tree[i];
                    i &= i - 1;
                }
                total += inserted - not_below;
            }
            for end in ends {
                inserted += 1;
                let mut i = end + 1;
                while i < tree.len() {
                    tree[i] += 1;
                    i += i & i.wrapping_neg();
                }
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::super::grid::Span;
    use super::*;

    fn grid(columns: &[usize], arcs: &[(usize, usize)]) -> Grid {
        let spans: Vec<Span> = arcs.iter().map(|&(left, right)| Span { left, right, reversed: false }).collect();
        Grid::new(columns.to_vec(), &spans, &mut 1_000)
    }

    #[test]
    fn counts_crossings_as_drawn() {
        assert_eq!(count_crossings(&grid(&[0, 0, 1, 1], &[(0, 3), (1, 2)])), 1);
        assert_eq!(count_crossings(&grid(&[0, 0, 1, 1], &[(0, 2), (1, 3), (0, 3), (1, 2)])), 1);
        assert_eq!(count_crossings(&grid(&[0, 0, 0, 1, 1, 1], &[(0, 5), (1, 4), (2, 3)])), 3);
    }

    #[test]
    fn a_tree_is_drawn_without_crossings() {
        let columns: Vec<usize> = (0_usize..63).map(|i| 5 - (i + 1).ilog2() as usize).collect();
        let mut arcs: Vec<(usize, usize)> = (1..63).map(|i| (i, (i - 1) / 2)).collect();
        arcs.reverse();
        let mut tree = grid(&columns, &arcs);
        tree.columns.iter_mut().for_each(|column| column.sort_by_key(|slot| slot * 37 % 64));
        tree.number_places();
        assert!(count_crossings(&tree) > 0);
        sort_columns(&mut tree);
        assert_eq!(count_crossings(&tree), 0);
    }
}
