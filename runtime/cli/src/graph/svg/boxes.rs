//! The boxes.

use std::fmt::Write as _;

use domain::status::Status;

use super::measure::{self, Face};
use super::palette::{self, Look};
use super::xml::{Px, Text};
use crate::graph::layout::{PORT_GAP, Rect, Size};
use crate::graph::links::Item;

const NAME: Face = Face { size: 15.0, weight: 1.12 };
const DETAILS: Face = Face { size: 11.0, weight: 1.0 };

/// Least and greatest width of the text in a box.
const TEXT_WIDTHS: (f64, f64) = (76.0, 212.0);
/// Left of the text, for the sign.
const INDENT: f64 = 38.0;
/// Right of the text.
const RIGHT_PAD: f64 = 16.0;
/// Height of a box with few lines.
const HEIGHT: f64 = 54.0;

/// The text of a box and the room it takes.
pub(super) struct Caption {
    name: String,
    details: String,
    /// Full text for the pointer to reveal.
    hint: String,
    /// How large the box must be.
    pub(super) size: Size,
    /// Whether a badge tells of something that the status does not.
    has_badge: bool,
}

impl Caption {
    /// Measures `item`; its box must have room for `ports` lines at its left edge.
    pub(super) fn new(item: Item<'_>, ports: usize, needs: usize, needed_by: usize) -> Self {
        let plain_details = domain::text::escape_line(&item.details().join(" · ")).into_owned();
        let escaped_name = domain::text::escape_line(item.label());
        let name = measure::fit(&escaped_name, NAME, TEXT_WIDTHS.1).into_owned();
        let details = measure::fit(&plain_details, DETAILS, TEXT_WIDTHS.1).into_owned();
        let text_width = measure::width(&name, NAME).max(measure::width(&details, DETAILS));
        let width = INDENT + text_width.clamp(TEXT_WIDTHS.0, TEXT_WIDTHS.1) + RIGHT_PAD;
        let height = HEIGHT.max(ports as f64 * PORT_GAP + 12.0);
        let (has_badge, hint) = (has_badge(item), hint(item, needs, needed_by));
        Self { name, details, hint, size: Size { width, height }, has_badge }
    }

    /// Draws the box at `rect`.
    pub(super) fn draw(&self, out: &mut String, number: usize, item: Item<'_>, rect: &Rect) {
        let Look { class, accent, tint, dashed, .. } = palette::look(item.status());
        let Rect { x, y, width, height } = *rect;
        let middle = y + height / 2.0;
        let dash = if dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "<g class=\"node\" id=\"graph-n{number}\"><title>{}</title>\
             <rect class=\"shade\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"11\" fill=\"#17212b\" fill-opacity=\".07\"/>\
             <rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"10\" fill=\"{tint}\" stroke=\"{accent}\" stroke-width=\"1.5\"{dash}/>",
            Text(&self.hint),
            Px(x + 1.0),
            Px(y + 2.5),
            Px(width),
            Px(height),
            Px(x),
            Px(y),
            Px(width),
            Px(height),
        );
        draw_sign(out, item, x + 20.0, middle);
        let _ = write!(
            out,
            "<text class=\"ink\" x=\"{0}\" y=\"{1}\" font-size=\"15\" font-weight=\"600\" fill=\"{2}\">{3}</text>\
             <text class=\"muted\" x=\"{0}\" y=\"{4}\" font-size=\"11\" fill=\"{5}\">{6}</text>",
            Px(x + INDENT),
            Px(middle - 2.0),
            palette::INK,
            Text(&self.name),
            Px(middle + 15.0),
            palette::MUTED,
            Text(&self.details),
        );
        if self.has_badge {
            draw_badge(out, x + width, y);
        }
        out.push_str("</g>\n");
    }
}

/// Draws the sign of a status in a disc around `(x, y)`.
pub(super) fn draw_sign(out: &mut String, item: Item<'_>, x: f64, y: f64) {
    let Look { class, accent, sign, .. } = palette::look(item.status());
    let _ = write!(
        out,
        "<g transform=\"translate({} {})\"><circle class=\"{class}-sign\" r=\"8\" fill=\"{accent}\"/>\
         <path class=\"sign\" d=\"{sign}\" fill=\"none\" stroke=\"#ffffff\" stroke-width=\"1.8\" stroke-linecap=\"round\" stroke-linejoin=\"round\"/></g>",
        Px(x),
        Px(y),
    );
}

/// Draws the badge for recorded failures and open imports, its middle at the corner `(x, y)`.
pub(super) fn draw_badge(out: &mut String, x: f64, y: f64) {
    let _ = write!(
        out,
        "<g transform=\"translate({} {})\"><circle class=\"error-sign\" r=\"8\" fill=\"{}\" stroke=\"{}\" stroke-width=\"2\"/>\
         <path class=\"sign\" d=\"M0-4V.8M0 3.6V3.8\" fill=\"none\" stroke=\"#ffffff\" stroke-width=\"2\" stroke-linecap=\"round\"/></g>",
        Px(x - 3.0),
        Px(y + 3.0),
        palette::BAD_LINE,
        palette::GROUND,
    );
}

/// Tells whether something is wrong that the status does not say.
pub(super) fn has_badge(item: Item<'_>) -> bool {
    matches!(item, Item::Entry(node) if (node.error && node.status != Status::Error) || !node.unresolved.is_empty())
}

fn hint(item: Item<'_>, needs: usize, needed_by: usize) -> String {
    let Item::Entry(node) = item else {
        return format!("{} is not registered · needed by {needed_by}", item.id());
    };
    let version =
        if node.version.is_empty() || node.id.contains('@') { String::new() } else { format!("@{}", node.version) };
    let mut hint =
        format!("{}{version} · {} · {} · needs {needs}, needed by {needed_by}", node.id, node.kind, node.status);
    if node.error {
        hint.push_str(" · failing");
    }
    if !node.unresolved.is_empty() {
        let _ = write!(hint, " · unresolved: {}", node.unresolved.join(", "));
    }
    hint
}
