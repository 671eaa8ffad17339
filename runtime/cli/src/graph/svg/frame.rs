//! What surrounds the graph: ground, heading, legend.

use std::fmt::Write as _;

use super::boxes;
use super::lines::Stroke;
use super::measure::{self, Face};
use super::palette;
use super::xml::{Px, Text};
use crate::graph::links::Item;

const TITLE: Face = Face { size: 21.0, weight: 1.12 };
const COUNTS: Face = Face { size: 13.0, weight: 1.0 };
const KEY: Face = Face { size: 12.0, weight: 1.0 };

/// Free space on all sides.
pub(super) const MARGIN: f64 = 32.0;

/// Widest heading; what is longer is cut.
const TITLE_WIDTH_MAX: f64 = 640.0;

/// Height of the heading above the graph.
const HEADING_HEIGHT: f64 = 88.0;

/// A legend wider than this goes on in the next row, unless the graph is wider.
const LEGEND_WIDTH_MAX: f64 = 560.0;

const ROW_HEIGHT: f64 = 26.0;

/// Heading and legend, measured.
pub(super) struct Frame<'a> {
    pub(super) title: String,
    pub(super) counts: String,
    keys: Vec<Key<'a>>,
}

/// One entry of the legend.
pub(super) enum Key<'a> {
    /// A status, by one item that has it, and how many have it.
    Status(Item<'a>, usize),
    /// A kind of line.
    Line(Stroke),
    /// The badge, and how many have it.
    Badge(usize),
}

impl Key<'_> {
    fn text(&self) -> String {
        match self {
            Self::Status(item, count) => format!("{} {count}", item.status_word()),
            Self::Line(stroke) => stroke.word().to_owned(),
            Self::Badge(count) => format!("needs attention {count}"),
        }
    }

    fn icon_width(&self) -> f64 {
        match self {
            Self::Status(..) | Self::Badge(_) => 24.0,
            Self::Line(..) => 42.0,
        }
    }

    fn width(&self) -> f64 {
        self.icon_width() + measure::width(&self.text(), KEY) + 18.0
    }

    /// Draws the entry; `y` is the middle of its row.
    fn draw(&self, out: &mut String, x: f64, y: f64) {
        match self {
            Self::Status(item, _) => boxes::draw_sign(out, *item, x + 8.0, y),
            Self::Badge(_) => boxes::draw_badge(out, x + 11.0, y - 3.0),
            Self::Line(stroke) => {
                let _ = write!(
                    out,
                    "<path {} fill=\"none\" marker-end=\"url(#{})\" d=\"M{} {}h27\"/>",
                    stroke.attributes(*stroke == Stroke::Declared),
                    stroke.tip(),
                    Px(x),
                    Px(y),
                );
            }
        }
        let (x, y) = (Px(x + self.icon_width()), Px(y + 4.2));
        let _ = writeln!(
            out,
            "<text class=\"muted\" x=\"{x}\" y=\"{y}\" font-size=\"12\" fill=\"{}\">{}</text>",
            palette::MUTED,
            Text(&self.text()),
        );
    }
}

impl<'a> Frame<'a> {
    pub(super) fn new(title: &str, counts: String, keys: Vec<Key<'a>>) -> Self {
        let title = if title.is_empty() { "Components" } else { title };
        let escaped = domain::text::escape_line(title);
        Self { title: measure::fit(&escaped, TITLE, TITLE_WIDTH_MAX).into_owned(), counts, keys }
    }

    /// Returns the width of the picture around a graph of `graph_width`.
    pub(super) fn width(&self, graph_width: f64) -> f64 {
        let heading = measure::width(&self.title, TITLE).max(measure::width(&self.counts, COUNTS));
        let legend = self.keys.iter().map(Key::width).sum::<f64>().min(LEGEND_WIDTH_MAX);
        graph_width.max(heading).max(legend) + 2.0 * MARGIN
    }

    /// Returns where each entry of the legend goes, relative to its upper left corner, and the height of all.
    fn legend_places(&self, width: f64) -> (Vec<(f64, f64)>, f64) {
        let (mut x, mut y) = (0.0, 0.0);
        let mut places = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            if x > 0.0 && x + key.width() > width - 2.0 * MARGIN + 18.0 {
                (x, y) = (0.0, y + ROW_HEIGHT);
            }
            places.push((x, y));
            x += key.width();
        }
        (places, if self.keys.is_empty() { 0.0 } else { y + ROW_HEIGHT })
    }

    /// Returns where the graph begins in a picture of `width`.
    pub(super) fn graph_top(&self, width: f64) -> f64 {
        HEADING_HEIGHT + self.legend_places(width).1 + 18.0
    }

    /// Draws ground, heading and legend.
    pub(super) fn draw(&self, out: &mut String, width: f64, height: f64) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "<rect class=\"ground\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"14\" fill=\"{}\" stroke=\"{}\"/>\n\
             <text class=\"ink\" x=\"{m}\" y=\"48\" font-size=\"21\" font-weight=\"650\" fill=\"{}\">{}</text>\n\
             <text class=\"muted\" x=\"{m}\" y=\"71\" font-size=\"13\" fill=\"{}\">{}</text>",
            Px(width - 1.0),
            Px(height - 1.0),
            palette::GROUND,
            palette::FRAME,
            palette::INK,
            Text(&self.title),
            palette::MUTED,
            Text(&self.counts),
            m = Px(MARGIN),
        );
        let places = self.legend_places(width).0;
        for (key, (x, y)) in self.keys.iter().zip(places) {
            key.draw(out, MARGIN + x, HEADING_HEIGHT + ROW_HEIGHT / 2.0 + y);
        }
    }
}
