//! Standard output: the result alone, as text or as JSON.

use std::borrow::Cow;
use std::time::Duration;

use domain::text::is_deceptive;
use serde::Serialize;
use server::protocol::Display;

use crate::error::CliError;
use crate::screen::Screen;
use crate::style::Paint;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document; one per line for verbs that stream.
    Json,
}

/// Prints results on standard output.
pub(crate) struct Output {
    format: Format,
    paint: Paint,
    /// Whether JSON is laid out for a person.
    pretty: bool,
    screen: Screen,
}

impl Output {
    /// Makes a printer.
    pub(crate) fn new(format: Format, screen: Screen) -> Self {
        let display = screen.display();
        let paint = Paint::new(display.out_is_terminal && display.colours);
        Self { format, paint, pretty: display.out_is_terminal, screen }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// Says what can be printed.
    pub(crate) fn display(&self) -> Display {
        self.screen.display()
    }

    /// Prints the verb's one result: `document` as JSON, or what `text` makes of it.
    ///
    /// # Errors
    /// [`CliError`] if standard output cannot be written; a reader that went away is none.
    pub(crate) fn result<T: Serialize>(
        &self,
        document: &T,
        text: impl FnOnce(&T, Paint) -> String,
    ) -> Result<(), CliError> {
        if self.is_json() { self.json(document) } else { self.text(&text(document, self.paint)) }
    }

    /// Prints one JSON document: on several lines for a terminal, else on one.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub(crate) fn json<T: Serialize>(&self, document: &T) -> Result<(), CliError> {
        let text = if self.pretty { serde_json::to_string_pretty(document) } else { serde_json::to_string(document) };
        let text = text.map_err(|e| CliError::internal(format!("the result cannot be written as JSON: {e}")))?;
        self.text(&format!("{}\n", harmless(&text))).map(|_| ())
    }

    /// Prints one line of a stream; `false` once nobody reads any more.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub(crate) fn line<T: Serialize>(
        &self,
        document: &T,
        text: impl FnOnce(Paint) -> String,
    ) -> Result<bool, CliError> {
        if self.is_json() {
            let line = serde_json::to_string(document)
                .map_err(|e| CliError::internal(format!("the result cannot be written as JSON: {e}")))?;
            self.write(&format!("{}\n", harmless(&line)))
        } else {
            self.write(&format!("{}\n", text(self.paint)))
        }
    }

    /// Prints text as it is.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub(crate) fn text(&self, text: &str) -> Result<(), CliError> {
        self.write(text).map(|_| ())
    }

    fn write(&self, text: &str) -> Result<bool, CliError> {
        match self.screen.out(text) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(CliError::stdout(&error)),
        }
    }
}

/// Escapes what JSON leaves as it is although it moves the cursor, turns the text around or cannot be seen: only strings can have
/// it, line feeds aside, which JSON escapes in strings.
fn harmless(json: &str) -> Cow<'_, str> {
    let harms = |c: char| c != '\n' && is_deceptive(c);
    if !json.contains(harms) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if harms(c) {
            // As JSON writes what has no place in sixteen bits: in two halves.
            let units = c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            text.push_str(&units);
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

/// Writes bytes for people: `17.9 MiB`.
pub(crate) fn human_size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift {
            return format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64);
        }
    }
    format!("{bytes} B")
}

/// Writes a duration for people: `940 µs`, `4.2 ms`, `3.1 s`.
pub(crate) fn human_duration(duration: Duration) -> String {
    let us = duration.as_micros();
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

/// As [`human_duration`], from microseconds.
pub(crate) fn human_us(us: u64) -> String {
    human_duration(Duration::from_micros(us))
}

/// Writes a count with a comma between groups of three digits.
pub(crate) fn human_count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes one thing or several: `1 component`, `3 components`.
pub(crate) fn plural(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{} {word}s", human_count(number as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_terminal_is_escaped_in_json_too() {
        let text = "a\u{9b}31m\u{202e}é\u{1b}\u{e0041}";
        let json = serde_json::to_string(text).unwrap();
        let harmless = harmless(&json);
        assert_eq!(harmless, "\"a\\u009b31m\\u202eé\\u001b\\udb40\\udc41\"");
        assert_eq!(serde_json::from_str::<String>(&harmless).unwrap(), text);
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!((human_count(7), human_count(1_234_567)), ("7".to_owned(), "1,234,567".to_owned()));
        assert_eq!((human_size(900), human_size(18 << 20)), ("900 B".to_owned(), "18.0 MiB".to_owned()));
        assert_eq!((human_us(940), human_us(4_210)), ("940 µs".to_owned(), "4.2 ms".to_owned()));
        assert_eq!(
            (plural(1, "component"), plural(2, "component")),
            ("1 component".to_owned(), "2 components".to_owned())
        );
    }
}
