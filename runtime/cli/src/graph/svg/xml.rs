//! Text and numbers as XML.

use std::fmt;

use domain::text::escape_line;

/// Text that came from outside, safe within an element or a quoted attribute.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in escape_line(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // XML 1.0 §2.2 has no way to write these.
                '\u{fffe}' | '\u{ffff}' => f.write_str("\u{fffd}")?,
                _ => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

/// A length with at most one decimal, without a trailing `.0`.
#[derive(Clone, Copy)]
pub(super) struct Px(pub(super) f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0).round() / 10.0;
        // Adding zero turns -0 into 0.
        write!(f, "{}", tenths + 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(Text("<a b=\"c\">&'\u{0}\u{ffff}").to_string(), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;\\u{0}\u{fffd}");
    }

    #[test]
    fn lengths_are_short() {
        assert_eq!([Px(1.0), Px(1.26), Px(-0.01)].map(|px| px.to_string()), ["1", "1.3", "0"]);
    }
}
