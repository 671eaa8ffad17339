//! What holds for every layout.

use proptest::prelude::*;

use super::*;

/// Random graphs with cycles, parts that are not connected, and boxes of many sizes.
fn graphs() -> impl Strategy<Value = (Vec<Size>, Vec<Arc>)> {
    (1_usize..60).prop_flat_map(|count| {
        let size = (40.0..300.0_f64, 30.0..160.0_f64).prop_map(|(width, height)| Size { width, height });
        let ends = proptest::collection::btree_set((0..count, 0..count), 0..count * 3);
        let arcs = ends.prop_map(|ends| {
            let arcs = ends.into_iter().filter(|(from, to)| from != to);
            arcs.map(|(from, to)| Arc { from, to, lead: 12.0 + (from * 7 % 90) as f64 }).collect()
        });
        (proptest::collection::vec(size, count), arcs)
    })
}

fn apart(a: &Rect, b: &Rect) -> bool {
    a.right() <= b.x || b.right() <= a.x || a.bottom() <= b.y || b.bottom() <= a.y
}

/// Points along a route, dense enough to meet any box on the way.
fn points(route: &Route) -> Vec<(f64, f64)> {
    let (mut x, mut y) = (route.x, route.y);
    let mut points = Vec::new();
    for hop in &route.hops {
        for step in 0..=40 {
            let t = f64::from(step) / 40.0;
            // A cubic curve whose handles lie half way, level with its ends, as it is drawn.
            let (first, second, third) = (3.0 * (1.0 - t) * (1.0 - t) * t, 3.0 * (1.0 - t) * t * t, t * t * t);
            let along = (first + second) / 2.0 + third;
            points.push((x + along * (hop.bend_x - x), y + (second + third) * (hop.y - y)));
        }
        let steps = ((hop.end_x - hop.bend_x) / 4.0).ceil().max(1.0) as u32;
        points.extend(
            (0..=steps).map(|i| (hop.bend_x + (hop.end_x - hop.bend_x) * f64::from(i) / f64::from(steps), hop.y)),
        );
        (x, y) = (hop.end_x, hop.y);
    }
    points
}

fn inside(rect: &Rect, (x, y): (f64, f64)) -> bool {
    x > rect.x + 0.01 && x < rect.right() - 0.01 && y > rect.y + 0.01 && y < rect.bottom() - 0.01
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn boxes_never_overlap_and_keep_their_sizes((sizes, arcs) in graphs()) {
        let placement = lay_out(&sizes, &arcs);
        prop_assert_eq!(placement.boxes.len(), sizes.len());
        for (i, a) in placement.boxes.iter().enumerate() {
            prop_assert!(a.width >= sizes[i].width - 1e-6 && a.height == sizes[i].height);
            prop_assert!(a.x >= 0.0 && a.y >= -1e-6 && a.right() <= placement.width + 1e-6 && a.bottom() <= placement.height + 1e-6);
            for b in &placement.boxes[i + 1..] {
                prop_assert!(apart(a, b), "{a:?} overlaps {b:?}");
            }
        }
    }

    #[test]
    fn every_line_joins_its_boxes_and_passes_no_other((sizes, arcs) in graphs()) {
        let placement = lay_out(&sizes, &arcs);
        prop_assert_eq!(placement.routes.len(), arcs.len());
        for (arc, route) in arcs.iter().zip(&placement.routes) {
            let (left, right) = if route.reversed { (arc.to, arc.from) } else { (arc.from, arc.to) };
            let (left, right) = (placement.boxes[left], placement.boxes[right]);
            let last = route.hops.last().unwrap();
            prop_assert!((route.x - left.right()).abs() < 1e-6 && route.y > left.y && route.y < left.bottom());
            prop_assert!((last.end_x - right.x).abs() < 1e-6 && last.y > right.y && last.y < right.bottom());
            prop_assert!(last.end_x - last.bend_x >= arc.lead - 1e-6, "no room for the label");
            for point in points(route) {
                for rect in &placement.boxes {
                    prop_assert!(!inside(rect, point), "{route:?} passes {rect:?} at {point:?}");
                }
            }
        }
    }

    #[test]
    fn without_cycles_dependents_stand_right_of_what_they_need((sizes, arcs) in graphs()) {
        let arcs: Vec<Arc> = arcs.into_iter().filter(|arc| arc.from < arc.to).collect();
        let placement = lay_out(&sizes, &arcs);
        for (arc, route) in arcs.iter().zip(&placement.routes) {
            prop_assert!(!route.reversed);
            prop_assert!(placement.boxes[arc.from].right() < placement.boxes[arc.to].x);
        }
    }
}

#[test]
fn equal_inputs_give_equal_layouts() {
    let sizes = vec![Size { width: 100.0, height: 50.0 }; 40];
    let arcs: Vec<Arc> = (1..40).map(|to| Arc { from: to * 7 % to, to, lead: 20.0 }).collect();
    let (a, b) = (lay_out(&sizes, &arcs), lay_out(&sizes, &arcs));
    assert_eq!((a.boxes, a.routes), (b.boxes, b.routes));
}

#[test]
fn nothing_at_all_is_laid_out_as_nothing() {
    let placement = lay_out(&[], &[]);
    assert!(placement.boxes.is_empty() && placement.width == 0.0 && placement.height == 0.0);
}

#[test]
fn a_chain_whose_long_lines_exceed_the_budget_is_laid_out_all_the_same() {
    let sizes = vec![Size { width: 100.0, height: 50.0 }; 3_000];
    let chain = (1..3_000).map(|to| Arc { from: to - 1, to, lead: 20.0 });
    let far = (0..1_000).map(|from| Arc { from, to: from + 1_500, lead: 20.0 });
    let arcs: Vec<Arc> = chain.chain(far).collect();
    let placement = lay_out(&sizes, &arcs);
    assert!(placement.routes.iter().all(|route| !route.hops.is_empty()));
}
