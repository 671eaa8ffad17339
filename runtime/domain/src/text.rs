//! Makes text that a guest supplied safe to show: bounded, and without control over the reader's terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Longest message kept from a guest, in bytes of the escaped text.
pub const GUEST_TEXT_MAX: usize = 4 * 1024;

/// Tells whether `c` can change how the text around it is displayed, or cannot be seen at all.
///
/// Covers C0, C1 and DEL, the bidirectional overrides and isolates, zero-width and other invisible format characters, and the
/// line and paragraph separators. Tab and line feed are judged by the caller.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Returns `text` with deceptive characters written as escapes (`\u{1b}`), line feeds and tabs included.
pub fn escape_line(text: &str) -> Cow<'_, str> {
    escape(text, false)
}

/// Returns `text` with deceptive characters written as escapes; line feeds and tabs stay.
pub fn escape_block(text: &str) -> Cow<'_, str> {
    escape(text, true)
}

fn escape(text: &str, keep_layout: bool) -> Cow<'_, str> {
    let harmless = |c: char| !is_deceptive(c) || (keep_layout && matches!(c, '\n' | '\t'));
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmless(c) {
            escaped.push(c);
        } else {
            match c {
                '\n' => escaped.push_str("\\n"),
                '\t' => escaped.push_str("\\t"),
                '\r' => escaped.push_str("\\r"),
                _ => {
                    // Writing to a String cannot fail.
                    let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
                }
            }
        }
    }
    Cow::Owned(escaped)
}

/// Cuts `text` to at most `max` bytes at a character boundary and says how much was left out.
pub fn truncate(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    Cow::Owned(format!("{kept}… ({} bytes left out)", text.len() - end))
}

/// Returns a guest's message bounded to [`GUEST_TEXT_MAX`] and escaped; line feeds and tabs stay.
pub fn guest_message(text: &str) -> String {
    escape_block(&truncate(text, GUEST_TEXT_MAX)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_could_move_the_cursor_or_turn_the_text_around() {
        assert_eq!(escape_line("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(escape_line("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
        assert_eq!(escape_line("a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(escape_block("a\nb\tc\r"), "a\nb\tc\\r");
    }

    #[test]
    fn leaves_ordinary_text_of_any_script_alone() {
        assert!(matches!(escape_line("Grüße, 世界, שלום"), Cow::Borrowed(_)));
    }

    #[test]
    fn cuts_at_a_character_boundary_and_says_so() {
        assert_eq!(truncate("äöü", 3), "ä… (4 bytes left out)");
        assert_eq!(truncate("abc", 3), "abc");
    }
}
