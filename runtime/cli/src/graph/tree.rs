//! The graph as a tree for the terminal, from dependents down to what they need.

use std::fmt::Write as _;

use domain::status::Status;
use domain::text::escape_line;

use super::links::{Item, Line, Links};
use super::{GraphPicture, short};

/// Deepest level that is indented; what lies below gets a tree of its own, so that a long chain cannot fill the disk with blanks.
const DEPTH_MAX: usize = 40;

/// Whether text for a terminal carries colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Plain text.
    Never,
    /// Statuses in ANSI colours.
    Always,
}

/// Renders one tree for each component that nobody depends on.
///
/// What was printed with its dependencies before is marked `(*)` and not repeated; an edge that closes a cycle ends with
/// `(cycle)`. Every component appears at least once.
pub(super) fn render(picture: &GraphPicture, colour: Colour) -> String {
    let links = Links::new(picture);
    if links.items.is_empty() {
        return "no components\n".to_owned();
    }
    let lines_of = links.lines_by_dependent();
    let states = vec![State::New; links.items.len()];
    let mut printer =
        Printer { links: &links, lines_of: &lines_of, states, colour, out: String::new(), indent: Vec::new() };
    for root in roots(&links, &lines_of) {
        if printer.state(root) == State::New {
            printer.print_tree(root);
        }
    }
    printer.out
}

/// What has become of an item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// Being printed: it is above the current line.
    Open,
    Printed,
}

struct Printer<'a> {
    links: &'a Links<'a>,
    lines_of: &'a [Vec<usize>],
    states: Vec<State>,
    colour: Colour,
    out: String,
    /// For each open level, whether more siblings follow.
    indent: Vec<bool>,
}

/// One open item and how many of its dependencies were printed.
struct Frame {
    item: usize,
    done: usize,
}

impl Printer<'_> {
    fn state(&self, item: usize) -> State {
        self.states.get(item).copied().unwrap_or(State::Printed)
    }

    fn set(&mut self, item: usize, state: State) {
        if let Some(slot) = self.states.get_mut(item) {
            *slot = state;
        }
    }

    /// Prints `root` and what it needs. A stack of our own: a chain may be longer than the thread's.
    fn print_tree(&mut self, root: usize) {
        self.print_item(root, None, "");
        self.set(root, State::Open);
        let mut stack = vec![Frame { item: root, done: 0 }];
        while let Some(frame) = stack.last_mut() {
            let lines = self.lines_of.get(frame.item).map_or(&[] as &[usize], Vec::as_slice);
            let Some(line) = lines.get(frame.done).and_then(|line| self.links.lines.get(*line)) else {
                let finished = frame.item;
                self.set(finished, State::Printed);
                stack.pop();
                self.indent.pop();
                continue;
            };
            frame.done += 1;
            self.indent.push(frame.done < lines.len());
            let needs_any = self.lines_of.get(line.from).is_some_and(|lines| !lines.is_empty());
            match self.state(line.from) {
                State::Open => self.print_item(line.from, Some(line), " (cycle)"),
                State::Printed if needs_any => self.print_item(line.from, Some(line), " (*)"),
                State::New if needs_any && stack.len() >= DEPTH_MAX => {
                    self.print_item(line.from, Some(line), " (continued below)");
                }
                State::Printed => self.print_item(line.from, Some(line), ""),
                State::New => {
                    self.print_item(line.from, Some(line), "");
                    self.set(line.from, State::Open);
                    stack.push(Frame { item: line.from, done: 0 });
                    continue;
                }
            }
            self.indent.pop();
        }
    }

    fn print_item(&mut self, item: usize, line: Option<&Line<'_>>, mark: &str) {
        let Some(&shown) = self.links.items.get(item) else { return };
        if let Some((last, above)) = self.indent.split_last() {
            self.out.extend(above.iter().map(|more| if *more { "│   " } else { "    " }));
            self.out.push_str(if *last { "├── " } else { "└── " });
        }
        self.out.push_str(&escape_line(shown.id()));
        if let Item::Entry(node) = shown
            // The id of a revision beside the one in service has it.
            && !(node.version.is_empty() || node.id.contains('@'))
        {
            self.out.push('@');
            self.out.push_str(&escape_line(&node.version));
        }
        self.print_status(shown);
        if let Some(line) = line {
            let labels: Vec<_> = line.edges.iter().map(|edge| short::within(&edge.label, shown.id())).collect();
            let (on, off) = self.paint("2");
            // Writing to a String cannot fail.
            let _ = write!(self.out, " {on}{}{off}", escape_line(&labels.join(", ")));
            if line.is_fused() {
                self.out.push_str(" (fused)");
            }
        }
        self.out.push_str(mark);
        self.out.push('\n');
    }

    fn print_status(&mut self, item: Item<'_>) {
        let code = match item.status() {
            Some(Status::Active) => "32",
            Some(Status::Registered) => "34",
            Some(Status::Inactive) => "33",
            Some(Status::Discovered) => "35",
            Some(Status::Error) | None => "1;31",
        };
        let (on, off) = self.paint(code);
        let _ = write!(self.out, " {on}[{}]{off}", item.status_word());
        if let Item::Entry(node) = item {
            let (on, off) = self.paint("31");
            if node.error && node.status != Status::Error {
                let _ = write!(self.out, " {on}(failing){off}");
            }
            if !node.unresolved.is_empty() {
                let names = node.unresolved.join(", ");
                let _ = write!(self.out, " {on}(unresolved: {}){off}", escape_line(&names));
            }
        }
    }

    fn paint(&self, code: &str) -> (String, &'static str) {
        match self.colour {
            Colour::Never => (String::new(), ""),
            Colour::Always => (format!("\u{1b}[{code}m"), "\u{1b}[0m"),
        }
    }
}

/// Returns all items, those first that nobody depends on, then the rest so that whatever is needed comes after what needs it,
/// cycles aside: in the reverse of the order in which a depth-first walk leaves them.
fn roots(links: &Links<'_>, lines_of: &[Vec<usize>]) -> Vec<usize> {
    let count = links.items.len();
    let mut needed = vec![false; count];
    for line in &links.lines {
        if let Some(slot) = needed.get_mut(line.from) {
            *slot = true;
        }
    }
    let is_needed = |item: &usize| needed.get(*item).copied().unwrap_or(false);
    let mut order: Vec<usize> = (0..count).filter(|item| !is_needed(item)).collect();
    let mut seen = vec![false; count];
    let mut left = Vec::with_capacity(count);
    for start in (0..count).rev() {
        let mut stack = vec![(start, 0)];
        if std::mem::replace(seen.get_mut(start).unwrap_or(&mut true), true) {
            continue;
        }
        while let Some((item, done)) = stack.last_mut() {
            let next = lines_of.get(*item).and_then(|lines| lines.get(*done)).and_then(|line| links.lines.get(*line));
            *done += 1;
            match next {
                None => {
                    left.push(*item);
                    stack.pop();
                }
                Some(line) => {
                    if !std::mem::replace(seen.get_mut(line.from).unwrap_or(&mut true), true) {
                        stack.push((line.from, 0));
                    }
                }
            }
        }
    }
    order.extend(left.into_iter().rev().filter(is_needed));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples;

    fn plain(picture: &GraphPicture) -> String {
        render(picture, Colour::Never)
    }

    #[test]
    fn marks_what_was_shown_before() {
        insta::assert_snapshot!(plain(&samples::demo()), @r#"
        acme:newsletter-composer@0.1.0 [discovered] (unresolved: acme:mail/send@2.0.0)
        ├── acme:style-guide [missing] depends_on
        └── demo:report@0.1.0 [active] (failing) depends_on
            ├── demo:calculator@0.1.0 [active] calc@0.1.0
            │   ├── demo:facts@0.1.0 [active] store@0.1.0
            │   │   └── demo:logger@0.1.0 [active] log@0.1.0
            │   ├── demo:logger@0.1.0 [active] log@0.1.0
            │   └── demo:units@0.1.0 [active] convert@0.1.0
            │       └── demo:text@0.1.0 [active] prose@0.1.0
            │           └── demo:logger@0.1.0 [active] log@0.1.0
            ├── demo:checksum@0.1.0 [inactive] digest@0.1.0
            ├── demo:facts@0.1.0 [active] store@0.1.0 (*)
            ├── demo:logger@0.1.0 [active] log@0.1.0
            ├── demo:sentiment@0.1.0 [registered] analyse@0.1.0
            │   ├── demo:facts@0.1.0 [active] store@0.1.0 (*)
            │   └── demo:text@0.1.0 [active] prose@0.1.0 (*)
            ├── demo:template@0.1.0 [active] render@0.1.0
            │   └── demo:text@0.1.0 [active] prose@0.1.0 (*)
            └── demo:text@0.1.0 [active] prose@0.1.0 (*)
        demo:flaky@0.1.0 [error]
        "#);
    }

    #[test]
    fn cuts_cycles_and_shows_everything_once() {
        let picture = samples::from_pairs(&[("a", "b"), ("b", "c"), ("c", "b"), ("d", "d")]);
        insta::assert_snapshot!(plain(&picture), @r#"
        c@0.1.0 [registered]
        └── b@0.1.0 [registered] t:p/i@1.0.0
            ├── a@0.1.0 [registered] t:p/i@1.0.0
            └── c@0.1.0 [registered] t:p/i@1.0.0 (cycle)
        d@0.1.0 [registered]
        └── d@0.1.0 [registered] t:p/i@1.0.0 (cycle)
        "#);
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        insta::assert_snapshot!(plain(&samples::hostile()), @r#"
        x:世界の部品-שלום@0.1.0 [active]
        └── x:`code` #quot; |pipe| {b} --> end@0.1.0 [active] x:世界の部品-שלום
            └── x:\u{1b}[2J\u{202e}line\nfeed\u{0}￿@0.1.0 [active] x:`code` #quot; |pipe| {b} --> end
                └── x:<script>alert('1')</script>&amp;@0.1.0 [active] x:\u{1b}[2J\u{202e}line\nfeed\u{0}￿
                    └── x:back\slash\@0.1.0 [active] x:<script>alert('1')</script>&amp;
                        └── x:"]; evil [label="@1"<& [active] x:back\slash\
        "#);
    }

    #[test]
    fn colours_only_when_asked() {
        let picture = samples::small();
        assert!(!plain(&picture).contains('\u{1b}'));
        let coloured = render(&picture, Colour::Always);
        assert!(coloured.contains("\u{1b}[32m[active]\u{1b}[0m"), "{coloured}");
        assert!(coloured.contains("\u{1b}[1;31m[error]\u{1b}[0m"), "{coloured}");
    }

    #[test]
    fn says_when_there_is_nothing() {
        assert_eq!(plain(&GraphPicture::default()), "no components\n");
    }

    #[test]
    fn every_component_appears_with_its_dependencies_exactly_once() {
        for seed in 0..40 {
            let picture = samples::random(60, 120, seed);
            let text = plain(&picture);
            for node in &picture.nodes {
                let shown_whole = text
                    .lines()
                    .filter(|line| line.contains(&format!("{}@", node.id)))
                    .filter(|line| ![" (*)", " (cycle)", " (continued below)"].iter().any(|mark| line.ends_with(mark)))
                    .count();
                let needs_any = picture.edges.iter().any(|edge| edge.to == node.id);
                assert!(if needs_any { shown_whole == 1 } else { shown_whole >= 1 }, "{} in\n{text}", node.id);
            }
        }
    }

    #[test]
    fn a_chain_of_ten_thousand_stays_bounded() {
        let names: Vec<String> = (0..10_000).map(|i| format!("c{i:05}")).collect();
        let pairs: Vec<(&str, &str)> = names.iter().zip(names.iter().skip(1)).map(|(a, b)| (&**a, &**b)).collect();
        let text = plain(&samples::from_pairs(&pairs));
        assert!(text.len() < 4_000_000, "{} bytes", text.len());
        assert!(text.contains("(continued below)"));
        let shown: std::collections::BTreeSet<&str> =
            text.lines().filter_map(|line| line.split(['@', ' ']).find(|word| word.starts_with('c'))).collect();
        assert_eq!(shown, names.iter().map(String::as_str).collect());
    }
}
