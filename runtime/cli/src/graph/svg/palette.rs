//! The colours. Okabe and Ito's hues, darkened until they carry text, keep apart for colour-blind readers; each status has a
//! sign of its own besides.

use std::fmt::Write as _;

use domain::status::Status;

/// What a status looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Name of the style class.
    pub(super) class: &'static str,
    /// Colour of border and sign.
    pub(super) accent: &'static str,
    /// Colour of the box.
    pub(super) tint: &'static str,
    /// Accent and box on a dark ground.
    dark: (&'static str, &'static str),
    /// Whether the border is dashed.
    pub(super) dashed: bool,
    /// The sign, white strokes in a disc of radius 8 around the origin.
    pub(super) sign: &'static str,
}

/// Ground of the picture.
pub(super) const GROUND: &str = "#fbfcfd";
/// Frame of the picture.
pub(super) const FRAME: &str = "#dfe4ea";
/// Names and headings.
pub(super) const INK: &str = "#17212b";
/// Smaller text.
pub(super) const MUTED: &str = "#52606d";
/// Lines.
pub(super) const LINE: &str = "#8b98a6";
/// Lines that close a cycle or come from what failed or is missing.
pub(super) const BAD_LINE: &str = "#c24a00";
/// Lines under the pointer.
pub(super) const HOT: &str = "#0063a8";

const DARK_BASE: &str = ".ground{fill:#12171d;stroke:#2b333c}.ink{fill:#eef2f6}.muted{fill:#a9b4bf}.line{stroke:#6d7a87}\
    .bad{stroke:#ff9a5c}.tip{fill:#6d7a87}.bad-tip{fill:#ff9a5c}.label{fill:#c3ccd5;stroke:#12171d}.shade{fill:none}\
    .sign{stroke:#12171d}";

/// Returns the look of a status, or of what is missing.
pub(super) fn look(status: Option<Status>) -> Look {
    let (class, accent, tint, dark, dashed, sign) = match status {
        Some(Status::Active) => {
            ("active", "#007a59", "#e4f5ee", ("#3fcf9f", "#12291f"), false, "M-3.6 .3-1.1 2.9 3.7-2.7")
        }
        Some(Status::Registered) => {
            ("registered", "#0063a8", "#e6f1fb", ("#6db8f2", "#10253a"), false, "M-3.4 0H3.4M.6-2.9 3.6 0 .6 2.9")
        }
        Some(Status::Inactive) => {
            ("inactive", "#66717d", "#eef0f3", ("#a3aeb9", "#1f262e"), false, "M-2-3.2V3.2M2-3.2V3.2")
        }
        Some(Status::Error) => {
            ("error", "#c24a00", "#fdeadd", ("#ff9a5c", "#381c0b"), false, "M-2.8-2.8 2.8 2.8M2.8-2.8-2.8 2.8")
        }
        Some(Status::Discovered) => {
            ("discovered", "#a3457d", "#faeaf3", ("#eb94c8", "#331727"), true, "M-3.6 0H3.6M0-3.6V3.6")
        }
        None => (
            "missing",
            "#c24a00",
            "#ffffff",
            ("#ff9a5c", "#12171d"),
            true,
            "M-2.2-1.6C-2.2-4.6 2.4-4.4 2.2-1.6 2 .1 0 0 0 1.6M0 3.8V4.1",
        ),
    };
    Look { class, accent, tint, dark, dashed, sign }
}

/// Returns the style sheet: the same picture on a dark ground, and lines that light up under the pointer. Viewers without
/// style sheets show the light picture, whose colours are attributes.
pub(super) fn style_sheet() -> String {
    let mut dark = String::from(DARK_BASE);
    for status in Status::ALL.into_iter().map(Some).chain([None]) {
        let Look { class, dark: (accent, tint), .. } = look(status);
        // Writing to a String cannot fail.
        let _ = write!(dark, ".{class}{{fill:{tint};stroke:{accent}}}.{class}-sign{{fill:{accent}}}");
    }
    format!(
        ".edge:hover .line{{stroke:{HOT};stroke-width:2.5}}.edge .label{{pointer-events:none}}@media (prefers-color-scheme:dark){{{dark}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance after WCAG 2.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_on_every_box_in_both_schemes() {
        for status in Status::ALL.into_iter().map(Some).chain([None]) {
            let Look { class, accent, tint, dark: (dark_accent, dark_tint), .. } = look(status);
            assert!(contrast(INK, tint) > 12.0 && contrast(MUTED, tint) > 4.5, "{class} in the light");
            assert!(
                contrast("#eef2f6", dark_tint) > 12.0 && contrast("#a9b4bf", dark_tint) > 4.5,
                "{class} in the dark"
            );
            assert!(contrast(accent, tint) > 3.0 && contrast(dark_accent, dark_tint) > 3.0, "the border of {class}");
        }
        assert!(contrast(MUTED, GROUND) > 4.5);
    }
}
