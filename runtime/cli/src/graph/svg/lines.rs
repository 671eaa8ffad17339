//! The lines.

use std::fmt::Write as _;

use domain::status::Status;

use super::measure::{self, Face};
use super::palette;
use super::xml::{Px, Text};
use crate::graph::layout::{Rect, Route};
use crate::graph::links::{Item, Line, Links};
use crate::graph::{DECLARED_LABEL, short};

const LABEL: Face = Face { size: 10.5, weight: 1.0 };

/// Widest label; the pointer reveals the whole.
const LABEL_WIDTH_MAX: f64 = 120.0;

/// Length of an arrowhead.
const TIP: f64 = 7.0;

/// Straight line in front of a box without a label.
const LEAD: f64 = 16.0;

/// Lines up to which labels are shown, and lines that end at one box.
const LABELLED_LINES_MAX: usize = 160;
const LABELLED_PORTS_MAX: usize = 24;

/// Whether lines carry their labels, or reveal them under the pointer alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    Shown,
    Revealed,
}

impl Labels {
    /// Chooses for a graph of `lines` lines of which at most `ports` end at one box.
    pub(super) fn choose(lines: usize, ports: usize) -> Self {
        if lines <= LABELLED_LINES_MAX && ports <= LABELLED_PORTS_MAX { Self::Shown } else { Self::Revealed }
    }
}

/// Returns what is written at `line`: its interfaces, short, or nothing where the dashes say it all.
pub(super) fn label(line: &Line<'_>, labels: Labels) -> String {
    let names: Vec<&str> =
        line.edges.iter().map(|edge| short::interface(&edge.label)).filter(|name| *name != DECLARED_LABEL).collect();
    match (labels, names.as_slice()) {
        (Labels::Revealed, _) | (Labels::Shown, []) => String::new(),
        (Labels::Shown, names) => {
            let all = domain::text::escape_line(&names.join(", ")).into_owned();
            match names {
                [first, rest @ ..] if !rest.is_empty() && measure::width(&all, LABEL) > LABEL_WIDTH_MAX => {
                    let more = format!(" +{}", rest.len());
                    let first = domain::text::escape_line(first);
                    format!("{}{more}", measure::fit(&first, LABEL, LABEL_WIDTH_MAX - measure::width(&more, LABEL)))
                }
                _ => measure::fit(&all, LABEL, LABEL_WIDTH_MAX).into_owned(),
            }
        }
    }
}

/// Returns the straight length that `label` needs in front of the box where its line ends.
pub(super) fn lead(label: &str) -> f64 {
    if label.is_empty() { LEAD } else { measure::width(label, LABEL) + TIP + 10.0 }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stroke {
    Import,
    /// The dependency is part of the dependent's unit.
    Fused,
    Declared,
    /// Comes from a component that failed or is missing.
    Blocked,
    /// Closes a cycle.
    Cycle,
}

impl Stroke {
    /// Chooses for a line from `from`; a line to its own start closes a cycle too.
    pub(super) fn choose(line: &Line<'_>, from: Item<'_>, closes_cycle: bool) -> Self {
        if closes_cycle {
            Self::Cycle
        } else if matches!(from.status(), None | Some(Status::Error)) {
            Self::Blocked
        } else if line.is_declared() {
            Self::Declared
        } else if line.is_fused() {
            Self::Fused
        } else {
            Self::Import
        }
    }

    /// Returns the attributes of the path.
    pub(super) fn attributes(self, declared: bool) -> String {
        let dash = if declared { " stroke-dasharray=\"6 4\"" } else { "" };
        match self {
            Self::Import | Self::Declared => {
                format!("class=\"line\" stroke=\"{}\" stroke-width=\"1.5\"{dash}", palette::LINE)
            }
            Self::Fused => format!("class=\"line\" stroke=\"{}\" stroke-width=\"3.5\"{dash}", palette::LINE),
            Self::Blocked => format!("class=\"line bad\" stroke=\"{}\" stroke-width=\"1.5\"{dash}", palette::BAD_LINE),
            Self::Cycle => format!("class=\"line bad\" stroke=\"{}\" stroke-width=\"2.2\"{dash}", palette::BAD_LINE),
        }
    }

    /// Returns the word that stands for it in the legend, between a dependency and its dependent.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Import => "imported by",
            Self::Fused => "fused with",
            Self::Declared => "declared dependency of",
            Self::Blocked => "holds up",
            Self::Cycle => "closes a cycle",
        }
    }

    /// Returns the id of the arrowhead.
    pub(super) fn tip(self) -> &'static str {
        match self {
            Self::Import | Self::Fused | Self::Declared => "graph-tip",
            Self::Blocked | Self::Cycle => "graph-bad-tip",
        }
    }
}

/// A line with what is known once it has its place.
pub(super) struct Strand<'a> {
    pub(super) line: &'a Line<'a>,
    /// The label as written; empty: none.
    pub(super) label: &'a str,
    pub(super) stroke: Stroke,
    /// Where it runs; `None` for a component that needs itself.
    pub(super) route: Option<&'a Route>,
}

/// Defines the arrowheads. They start where the shortened line ends, so that their point is sharp.
pub(super) fn define_tips(out: &mut String) {
    for (id, class, colour) in [("graph-tip", "tip", palette::LINE), ("graph-bad-tip", "bad-tip", palette::BAD_LINE)] {
        let _ = write!(
            out,
            "<marker id=\"{id}\" viewBox=\"0 0 8 8\" refX=\"1\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
             markerUnits=\"userSpaceOnUse\" orient=\"auto-start-reverse\"><path class=\"{class}\" d=\"M0 .6 8 4 0 7.4 1.4 4z\" fill=\"{colour}\"/></marker>"
        );
    }
}

/// Draws one line along `route`.
pub(super) fn draw(out: &mut String, links: &Links<'_>, strand: &Strand<'_>, route: &Route) {
    let Strand { line, label, stroke, .. } = *strand;
    let marker = if route.reversed { "marker-start" } else { "marker-end" };
    open_group(out, links, line);
    let _ = write!(
        out,
        "<path {} fill=\"none\" {marker}=\"url(#{})\" d=\"{}\"/>",
        stroke.attributes(line.is_declared()),
        stroke.tip(),
        path(route),
    );
    if let Some(last) = route.hops.last().filter(|_| !label.is_empty()) {
        let gap = if route.reversed { 4.0 } else { TIP + 4.0 };
        let _ = write!(
            out,
            "<text class=\"label\" x=\"{}\" y=\"{}\" font-size=\"10.5\" text-anchor=\"end\" fill=\"{}\" stroke=\"{}\" stroke-width=\"3\" \
             stroke-linejoin=\"round\" paint-order=\"stroke\">{}</text>",
            Px(last.end_x - gap),
            Px(last.y - 3.5),
            palette::MUTED,
            palette::GROUND,
            Text(label),
        );
    }
    out.push_str("</g>\n");
}

/// Draws the line of a component that needs itself, beside its box.
pub(super) fn draw_loop(out: &mut String, links: &Links<'_>, line: &Line<'_>, rect: &Rect) {
    let (x, y) = (rect.right(), rect.y + rect.height / 2.0);
    open_group(out, links, line);
    let _ = writeln!(
        out,
        "<path {} fill=\"none\" marker-end=\"url(#{})\" d=\"M{} {}c26-14 26 26 {} 20\"/></g>",
        Stroke::Cycle.attributes(line.is_declared()),
        Stroke::Cycle.tip(),
        Px(x),
        Px(y - 10.0),
        Px(TIP),
    );
}

fn open_group(out: &mut String, links: &Links<'_>, line: &Line<'_>) {
    let id = |position: usize| links.items.get(position).map_or("", |item| item.id());
    let labels: Vec<&str> = line.edges.iter().map(|edge| edge.label.as_str()).collect();
    let title = format!("{} → {} · {}", id(line.from), id(line.to), labels.join(", "));
    let _ = write!(out, "<g class=\"edge n{} n{}\"><title>{}</title>", line.from, line.to, Text(&title));
}

fn path(route: &Route) -> String {
    let mut x = if route.reversed { route.x + TIP } else { route.x };
    let mut path = format!("M{} {}", Px(x), Px(route.y));
    let mut y = route.y;
    for (i, hop) in route.hops.iter().enumerate() {
        let is_last = i + 1 == route.hops.len();
        let end_x = if is_last && !route.reversed { hop.end_x - TIP } else { hop.end_x };
        if (hop.y - y).abs() >= 0.05 {
            let half = f64::midpoint(x, hop.bend_x);
            let _ = write!(path, "C{} {} {} {} {} {}", Px(half), Px(y), Px(half), Px(hop.y), Px(hop.bend_x), Px(hop.y));
        }
        let _ = write!(path, "H{}", Px(end_x));
        (x, y) = (end_x, hop.y);
    }
    path
}
