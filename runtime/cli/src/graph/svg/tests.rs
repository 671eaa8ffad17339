//! What holds for every picture.

use domain::status::Status;
use proptest::prelude::*;
use roxmltree::{Document, Node};

use super::*;
use crate::graph::samples;

fn with_class<'a, 'd>(document: &'d Document<'a>, class: &'static str) -> impl Iterator<Item = Node<'d, 'a>> {
    document.descendants().filter(move |node| node.attribute("class").is_some_and(|c| c.split(' ').any(|c| c == class)))
}

fn title_of(node: Node<'_, '_>) -> String {
    node.children()
        .find(|child| child.has_tag_name("title"))
        .and_then(|title| title.text())
        .unwrap_or_default()
        .to_owned()
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).unwrap().parse().unwrap()
}

#[test]
fn draws_every_component_and_every_dependency() {
    let picture = samples::demo();
    let text = render(&picture);
    let document = Document::parse(&text).unwrap();
    let mut boxes: Vec<String> = with_class(&document, "node").map(title_of).collect();
    boxes.sort();
    assert_eq!(boxes.len(), 12);
    assert!(boxes[0].starts_with("acme:newsletter-composer@0.1.0 · skill · discovered"), "{boxes:?}");
    assert!(boxes[0].ends_with("unresolved: acme:mail/send@2.0.0"), "{boxes:?}");
    assert!(boxes[1].starts_with("acme:style-guide is not registered"), "{boxes:?}");
    let lines: Vec<String> = with_class(&document, "edge").map(title_of).collect();
    for edge in &picture.edges {
        let title = format!("{} → {} · {}", edge.from, edge.to, edge.label);
        assert_eq!(lines.iter().filter(|line| **line == title).count(), 1, "{title} in {lines:?}");
    }
    assert_eq!(lines.len(), picture.edges.len());
}

#[test]
fn tells_what_the_colours_mean() {
    let text = render(&samples::demo());
    for key in ["discovered 1", "registered 1", "active 7", "inactive 1", "error 1", "missing 1", "needs attention 2"] {
        assert!(text.contains(&format!(">{key}<")), "{key}");
    }
    assert!(text.contains("11 components · 18 dependencies"));
    assert!(!text.contains("closes a cycle"));
}

#[test]
fn names_from_outside_stay_text() {
    let text = render(&samples::hostile());
    let document = Document::parse(&text).unwrap();
    assert!(document.descendants().all(|node| !node.has_tag_name("script")));
    assert!(!text.chars().any(|c| c != '\n' && domain::text::is_deceptive(c)));
    let names: Vec<&str> = with_class(&document, "ink").filter_map(|node| node.text()).collect();
    assert!(names.contains(&"世界の部品-שלום"), "{names:?}");
}

#[test]
fn draws_loops_and_cycles_as_trouble() {
    let text = render(&samples::from_pairs(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "d")]));
    let document = Document::parse(&text).unwrap();
    assert_eq!(with_class(&document, "edge").count(), 4);
    assert!(text.contains("4 dependencies · 2 close cycles"), "{text}");
    assert!(text.contains("marker-start=\"url(#graph-bad-tip)\""));
}

#[test]
fn an_empty_registry_says_so() {
    let text = render(&GraphPicture::default());
    Document::parse(&text).unwrap();
    assert!(text.contains("No components yet"));
}

#[test]
fn merges_the_interfaces_between_two_components_into_one_line() {
    let text = render(&samples::small());
    let document = Document::parse(&text).unwrap();
    let lines: Vec<String> = with_class(&document, "edge").map(title_of).collect();
    assert!(lines.contains(&"demo:text → demo:report · demo:text/prose@0.1.0, depends_on".to_owned()), "{lines:?}");
    let labels: Vec<&str> = with_class(&document, "label").filter_map(|node| node.text()).collect();
    assert_eq!(labels, ["log", "prose"]);
}

#[test]
fn does_not_depend_on_the_order_of_its_input() {
    let picture = samples::random(40, 70, 5);
    let mut turned = picture.clone();
    turned.nodes.reverse();
    turned.edges.reverse();
    assert_eq!(render(&picture), render(&turned));
}

#[test]
fn ten_thousand_components_are_drawn_all() {
    let picture = samples::random(10_000, 10_000, 3);
    let text = render(&picture);
    assert_eq!(text.matches("class=\"node\"").count(), 10_000);
    assert_eq!(text.matches("class=\"edge ").count(), Links::new(&picture).lines.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_names_give_valid_xml_within_its_frame(ids in proptest::collection::vec(".{0,40}", 1..12), label in ".*", seed in any::<u64>()) {
        let nodes = ids.iter().map(|id| samples::node(id, &label, Status::ALL[(seed % 5) as usize])).collect();
        let edges = ids.iter().zip(ids.iter().skip(1)).map(|(a, b)| samples::edge(a, b, &label)).collect();
        let text = render(&GraphPicture { title: label.clone(), nodes, edges });
        let document = Document::parse(&text).unwrap();
        let (width, height) = (number(document.root_element(), "width"), number(document.root_element(), "height"));
        for node in with_class(&document, "shade") {
            prop_assert!(number(node, "x") + number(node, "width") <= width && number(node, "y") + number(node, "height") <= height);
        }
    }

    #[test]
    fn labels_lie_between_the_boxes(seed in any::<u64>(), count in 2_usize..40) {
        let text = render(&samples::random(count, count + count / 2, seed));
        let document = Document::parse(&text).unwrap();
        let boxes: Vec<[f64; 4]> =
            with_class(&document, "shade").map(|node| ["x", "y", "width", "height"].map(|name| number(node, name))).collect();
        for label in with_class(&document, "label") {
            let (right, baseline) = (number(label, "x"), number(label, "y"));
            let left = right - measure::width(label.text().unwrap(), measure::Face { size: 10.5, weight: 1.0 });
            for [x, y, width, height] in &boxes {
                let clear = right <= *x || left >= x + width - 1.0 || baseline <= *y - 2.5 || baseline - 9.0 >= y + height;
                prop_assert!(clear, "{:?} lies on a box at {x} {y}", label.text());
            }
        }
    }
}
