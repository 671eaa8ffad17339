//! How wide text will be, without the font: an estimate that is rather too wide than too narrow.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar;

/// A size and weight of the sans-serif face.
#[derive(Clone, Copy, Debug)]
pub(super) struct Face {
    /// Size in pixels.
    pub(super) size: f64,
    /// Factor for the weight: 1 for regular.
    pub(super) weight: f64,
}

/// Returns the width of `text` in pixels. Measured on DejaVu Sans, the widest face that viewers fall back to.
pub(super) fn width(text: &str, face: Face) -> f64 {
    text.chars().map(char_width).sum::<f64>() * face.size * face.weight
}

/// Returns `text`, cut in its middle where it is wider than `width_max`: both ends of a name tell components apart.
pub(super) fn fit(text: &str, face: Face, width_max: f64) -> Cow<'_, str> {
    if width(text, face) <= width_max {
        return Cow::Borrowed(text);
    }
    let chars: Vec<char> = text.chars().collect();
    let mut room = width_max - width("…", face);
    let (mut head, mut tail) = (0, chars.len());
    // Two characters from the front for each one from the back.
    while head < tail {
        let from_front = head < 2 * (chars.len() - tail) + 2;
        let next = if from_front { chars.get(head) } else { chars.get(tail - 1) };
        room -= next.map_or(0.0, |c| char_width(*c)) * face.size * face.weight;
        if room < 0.0 {
            break;
        }
        if from_front { head += 1 } else { tail -= 1 }
    }
    let kept = |range: Option<&[char]>| range.unwrap_or_default().iter().collect::<String>();
    Cow::Owned(format!("{}…{}", kept(chars.get(..head)), kept(chars.get(tail..))))
}

/// Returns the width of `c` in ems.
fn char_width(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '\'' | '|' => 0.3,
        ' ' | '.' | ',' | ':' | ';' | '/' | '\\' | '!' | '-' | 'I' | '·' => 0.36,
        '(' | ')' | '[' | ']' | 'f' | 't' | 'r' => 0.42,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 1.0,
        'A'..='Z' => 0.73,
        _ if c.is_ascii() => 0.63,
        _ => match c.width().unwrap_or(0) {
            0 => 0.0,
            1 => 0.72,
            _ => 1.05,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACE: Face = Face { size: 10.0, weight: 1.0 };

    #[test]
    fn wide_scripts_count_double_and_marks_nothing() {
        assert!(width("世界", FACE) > width("ab", FACE));
        assert!((width("e\u{301}", FACE) - width("e", FACE)).abs() < f64::EPSILON);
    }

    #[test]
    fn keeps_both_ends_of_what_is_too_long() {
        let name = "a-very-long-component-name-that-ends-in-seven";
        let cut = fit(name, FACE, 100.0);
        assert!(cut.starts_with("a-very-") && cut.contains('…') && cut.ends_with("even"), "{cut}");
        assert!(width(&cut, FACE) < 100.1);
        assert_eq!(fit("short", FACE, 100.0), "short");
    }
}
