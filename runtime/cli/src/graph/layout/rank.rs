//! Which column a box stands in: right of all that it needs.
#![expect(
    clippy::indexing_slicing,
    reason = "nodes are numbered 0..count by the caller, and all tables have that length"
)]

/// Rounds in which boxes may move towards the side with more lines.
const TIGHTEN_ROUNDS: usize = 8;

/// Returns for each of `arcs` whether it must be turned round so that no cycle is left.
///
/// Depth-first from the nodes without dependencies, in their order; an arc back to an open node closes a cycle.
pub(super) fn break_cycles(count: usize, arcs: &[(usize, usize)]) -> Vec<bool> {
    let mut out_arcs = vec![Vec::new(); count];
    let mut has_dependency = vec![false; count];
    for (i, &(from, to)) in arcs.iter().enumerate() {
        out_arcs[from].push(i);
        has_dependency[to] = true;
    }
    let (mut open, mut seen, mut turned) = (vec![false; count], vec![false; count], vec![false; arcs.len()]);
    let starts = (0..count).filter(|v| !has_dependency[*v]).chain((0..count).filter(|v| has_dependency[*v]));
    for start in starts {
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        open[start] = true;
        let mut stack = vec![(start, 0)];
        while let Some((node, done)) = stack.last_mut() {
            let Some(&arc) = out_arcs[*node].get(*done) else {
                open[*node] = false;
                stack.pop();
                continue;
            };
            *done += 1;
            let to = arcs[arc].1;
            if open[to] {
                turned[arc] = true;
            } else if !std::mem::replace(&mut seen[to], true) {
                open[to] = true;
                stack.push((to, 0));
            }
        }
    }
    turned
}

/// Returns the column of each node, from 0: the longest way to it, then moved right where that shortens more lines than it
/// lengthens. `arcs` have no cycle and run left to right.
pub(super) fn columns(count: usize, arcs: &[(usize, usize)]) -> Vec<usize> {
    let (mut successors, mut predecessors) = (vec![Vec::new(); count], vec![0_usize; count]);
    for &(from, to) in arcs {
        successors[from].push(to);
        predecessors[to] += 1;
    }
    let mut waiting = predecessors.clone();
    let mut order: Vec<usize> = (0..count).filter(|v| waiting[*v] == 0).collect();
    let mut column = vec![0; count];
    let mut next = 0;
    while let Some(&node) = order.get(next) {
        next += 1;
        for &to in &successors[node] {
            column[to] = column[to].max(column[node] + 1);
            waiting[to] -= 1;
            if waiting[to] == 0 {
                order.push(to);
            }
        }
    }
    for _ in 0..TIGHTEN_ROUNDS {
        let mut moved = false;
        for &node in order.iter().rev() {
            let nearest = successors[node].iter().map(|to| column[*to]).min();
            if let Some(nearest) = nearest
                && successors[node].len() > predecessors[node]
                && nearest > column[node] + 1
            {
                column[node] = nearest - 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_runs_to_the_right() {
        let arcs = [(0, 1), (1, 2), (0, 2), (3, 2), (2, 4)];
        assert_eq!(break_cycles(5, &arcs), [false; 5]);
        assert_eq!(columns(5, &arcs), [0, 1, 2, 1, 3]);
    }

    #[test]
    fn turns_one_arc_of_each_cycle() {
        assert_eq!(break_cycles(3, &[(0, 1), (1, 2), (2, 0)]), [false, false, true]);
        assert_eq!(break_cycles(3, &[(0, 1), (1, 2), (2, 1)]), [false, false, true]);
        assert_eq!(break_cycles(2, &[(1, 0), (0, 1)]), [true, false]);
    }

    #[test]
    fn a_deep_chain_needs_no_deep_stack() {
        let arcs: Vec<_> = (0..200_000).map(|i| (i, i + 1)).collect();
        assert!(break_cycles(200_001, &arcs).iter().all(|turned| !turned));
        assert_eq!(columns(200_001, &arcs)[200_000], 200_000);
    }
}
