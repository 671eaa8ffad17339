//! The graph as a picture.
//!
//! A self-contained SVG without scripts, fonts or links. Colours are attributes on a ground of the picture's own, so that it
//! reads the same in any viewer; a style sheet adds a dark scheme and lights up the lines of the box under the pointer.

mod boxes;
mod frame;
mod lines;
mod measure;
mod palette;
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use boxes::Caption;
use frame::{Frame, Key, MARGIN};
use lines::{Labels, Strand, Stroke};
use xml::{Px, Text};

use super::GraphPicture;
use super::layout::{self, Arc, Placement, Size};
use super::links::{Item, Links};

/// Boxes up to which the style sheet lights up the lines of the one under the pointer: it takes a rule for each.
const LIT_BOXES_MAX: usize = 2_000;

/// Renders `picture`; see the module's documentation.
pub(super) fn render(picture: &GraphPicture) -> String {
    let links = Links::new(picture);
    let sketch = Sketch::new(&links);
    let placement = sketch.place();
    let strands = sketch.strands(&placement);
    let frame = Frame::new(&picture.title, sketch.counts(&strands), sketch.keys(&strands));
    let width = frame.width(placement.width);
    let top = frame.graph_top(width);
    let height = top + placement.height + if links.items.is_empty() { 0.0 } else { MARGIN };

    let mut out = String::with_capacity(2_048 + 900 * links.items.len() + 500 * links.lines.len());
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\" \
         font-family=\"Inter,'Segoe UI',system-ui,-apple-system,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif\">\n\
         <title>{2}</title>\n<desc>{3}. Dependencies stand left of what needs them.</desc>\n<style>{4}{5}</style>\n<defs>",
        Px(width),
        Px(height),
        Text(&frame.title),
        Text(&frame.counts),
        palette::style_sheet(),
        lit_lines(links.items.len()),
    );
    lines::define_tips(&mut out);
    out.push_str("</defs>\n");
    frame.draw(&mut out, width, height);
    let _ = writeln!(out, "<g transform=\"translate({} {})\">", Px(MARGIN), Px(top));
    sketch.draw(&mut out, &strands, &placement);
    out.push_str("</g>\n</svg>\n");
    out
}

/// A rule for each box: while the pointer is on it, its lines stand out.
fn lit_lines(boxes: usize) -> String {
    let mut rules = String::new();
    for i in 0..if boxes <= LIT_BOXES_MAX { boxes } else { 0 } {
        let _ = write!(rules, "svg:has(#graph-n{i}:hover) .n{i} .line{{stroke:{};stroke-width:2.5}}", palette::HOT);
    }
    rules
}

/// All that is known before anything has a place.
struct Sketch<'a> {
    links: &'a Links<'a>,
    captions: Vec<Caption>,
    /// Labels as written, by line.
    labels: Vec<String>,
}

impl<'a> Sketch<'a> {
    fn new(links: &'a Links<'a>) -> Self {
        let (mut needs, mut needed_by) = (vec![0; links.items.len()], vec![0; links.items.len()]);
        for line in links.lines.iter().filter(|line| line.from != line.to) {
            if let (Some(needs), Some(needed_by)) = (needs.get_mut(line.to), needed_by.get_mut(line.from)) {
                *needs += 1;
                *needed_by += 1;
            }
        }
        let shown = Labels::choose(links.lines.len(), needs.iter().copied().max().unwrap_or(0));
        // Without labels lines may end closer together, and boxes stay small.
        let ports = |needs: usize| if shown == Labels::Shown { needs } else { 0 };
        let counts = needs.iter().zip(&needed_by);
        let captions = links.items.iter().zip(counts);
        let captions = captions.map(|(item, (needs, by))| Caption::new(*item, ports(*needs), *needs, *by)).collect();
        let labels = links.lines.iter().map(|line| lines::label(line, shown)).collect();
        Self { links, captions, labels }
    }

    fn place(&self) -> Placement {
        let sizes: Vec<Size> = self.captions.iter().map(|caption| caption.size).collect();
        let mut arcs = Vec::with_capacity(self.links.lines.len());
        for (line, label) in self.links.lines.iter().zip(&self.labels).filter(|(line, _)| line.from != line.to) {
            arcs.push(Arc { from: line.from, to: line.to, lead: lines::lead(label) });
        }
        layout::lay_out(&sizes, &arcs)
    }

    /// Returns the lines with what their places tell about them, plain ones first: those that tell of trouble are drawn on top.
    fn strands<'b>(&'b self, placement: &'b Placement) -> Vec<Strand<'b>> {
        let mut routes = placement.routes.iter();
        let mut strands = Vec::with_capacity(self.links.lines.len());
        for (line, label) in self.links.lines.iter().zip(&self.labels) {
            let Some(from) = self.links.items.get(line.from) else { continue };
            let route = if line.from == line.to { None } else { routes.next() };
            let stroke = Stroke::choose(line, *from, route.is_none_or(|route| route.reversed));
            strands.push(Strand { line, label, stroke, route });
        }
        strands.sort_by_key(|strand| strand.stroke);
        strands
    }

    fn counts(&self, strands: &[Strand<'_>]) -> String {
        let number = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let registered = self.links.items.iter().filter(|item| matches!(item, Item::Entry(_))).count();
        if self.links.items.is_empty() {
            return "No components yet: `runtime register PATH` adds the first.".to_owned();
        }
        let mut counts = format!(
            "{} · {}",
            number(registered, "component", "components"),
            number(self.links.lines.len(), "dependency", "dependencies")
        );
        let cycles = strands.iter().filter(|strand| strand.stroke == Stroke::Cycle).count();
        if cycles > 0 {
            let _ = write!(counts, " · {}", number(cycles, "closes a cycle", "close cycles"));
        }
        counts
    }

    fn keys(&self, strands: &[Strand<'_>]) -> Vec<Key<'a>> {
        let mut by_status: BTreeMap<_, (Item<'a>, usize)> = BTreeMap::new();
        for item in &self.links.items {
            // What is missing comes last.
            let rank = (item.status().is_none(), item.status());
            by_status.entry(rank).or_insert((*item, 0)).1 += 1;
        }
        let mut keys: Vec<Key<'a>> = by_status.into_values().map(|(item, count)| Key::Status(item, count)).collect();
        let badges = self.links.items.iter().filter(|item| boxes::has_badge(**item)).count();
        if badges > 0 {
            keys.push(Key::Badge(badges));
        }
        let strokes: BTreeSet<Stroke> = strands.iter().map(|strand| strand.stroke).collect();
        keys.extend(strokes.into_iter().map(Key::Line));
        keys
    }

    fn draw(&self, out: &mut String, strands: &[Strand<'_>], placement: &Placement) {
        for strand in strands {
            match (strand.route, placement.boxes.get(strand.line.from)) {
                (Some(route), _) => lines::draw(out, self.links, strand, route),
                (None, Some(rect)) => lines::draw_loop(out, self.links, strand.line, rect),
                (None, None) => {}
            }
        }
        let boxes = self.links.items.iter().zip(&self.captions).zip(&placement.boxes);
        for (number, ((item, caption), rect)) in boxes.enumerate() {
            caption.draw(out, number, *item, rect);
        }
    }
}

#[cfg(test)]
mod tests;
