//! What a build prints, line by line and bounded.

use std::collections::VecDeque;
use std::io::Read;

/// Longest line that is shown, in bytes; the rest of it is left out.
const LINE_BYTES_MAX: usize = 4 << 10;
/// Most lines of one build that are shown as they come.
const LINES_MAX: usize = 2_000;
/// The last lines of a build that printed more, which say how it ended.
const LAST_LINES: usize = 50;

/// Reads `from` to its end and hands over lines without their ends, texts as they are: whoever shows them escapes them. `false` from
/// `line` ends it.
///
/// # Errors
/// Those of reading.
pub(crate) fn read_lines(mut from: impl Read, mut line: impl FnMut(String) -> bool) -> std::io::Result<()> {
    let mut shown = Shown::default();
    let mut buffer = [0; 8 << 10];
    let mut open: Vec<u8> = Vec::new();
    loop {
        let read = match from.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if read == 0 {
            break;
        }
        for byte in buffer.iter().take(read) {
            let is_end = *byte == b'\n';
            if is_end && !shown.take(&mut open, &mut line) {
                return Ok(());
            }
            if !is_end && open.len() < LINE_BYTES_MAX {
                open.push(*byte);
            }
        }
    }
    if !open.is_empty() && !shown.take(&mut open, &mut line) {
        return Ok(());
    }
    shown.finish(&mut line);
    Ok(())
}

#[derive(Default)]
struct Shown {
    lines: usize,
    last: VecDeque<String>,
}

impl Shown {
    fn take(&mut self, open: &mut Vec<u8>, line: &mut impl FnMut(String) -> bool) -> bool {
        let bytes = std::mem::take(open);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches('\r').to_owned();
        self.lines += 1;
        if self.lines <= LINES_MAX {
            return line(text);
        }
        self.last.push_back(text);
        if self.last.len() > LAST_LINES {
            self.last.pop_front();
        }
        true
    }

    fn finish(self, line: &mut impl FnMut(String) -> bool) {
        let left_out = self.lines.saturating_sub(LINES_MAX + self.last.len());
        if left_out > 0 && !line(format!("… {left_out} lines left out")) {
            return;
        }
        for text in self.last {
            if !line(text) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        read_lines(text, |line| {
            lines.push(line);
            true
        })
        .unwrap();
        lines
    }

    #[test]
    fn lines_come_without_their_ends_and_the_last_needs_none() {
        assert_eq!(lines(b"one\r\n\ntwo\xff"), ["one", "", "two\u{fffd}"]);
    }

    #[test]
    fn of_a_flood_the_beginning_and_the_end_are_shown() {
        let flood: String = (0..5_000).map(|number| format!("{number}\n")).collect();
        let shown = lines(flood.as_bytes());
        assert_eq!(shown.len(), LINES_MAX + 1 + LAST_LINES);
        assert_eq!((shown[0].as_str(), shown[LINES_MAX].as_str()), ("0", "… 2950 lines left out"));
        assert_eq!(shown.last().map(String::as_str), Some("4999"));
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let shown = lines(&vec![b'x'; 1 << 20]);
        assert_eq!((shown.len(), shown[0].len()), (1, LINE_BYTES_MAX));
    }
}
