//! Columns of text for people.

use unicode_width::UnicodeWidthStr;

/// A table: a head and rows of cells, padded to the widest cell of each column.
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
    right: Vec<bool>,
}

/// One cell: what is printed, and how wide it is without colours.
pub(crate) struct Cell {
    text: String,
    width: usize,
}

impl Cell {
    /// A coloured cell: `painted` shows `plain`.
    pub(crate) fn painted(plain: &str, painted: String) -> Self {
        Self { width: plain.width(), text: painted }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        let text = text.into();
        Self { width: text.width(), text }
    }
}

impl Table {
    /// Makes a table with a head; a title that begins with `>` names a column of numbers, aligned to the right.
    pub(crate) fn new(head: &[&str]) -> Self {
        let right = head.iter().map(|title| title.starts_with('>')).collect();
        let titles = head.iter().map(|title| Cell::from(title.trim_start_matches('>'))).collect();
        Self { rows: vec![titles], right }
    }

    /// Adds a row; missing cells stay empty.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Tells whether there are no rows below the head.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// Returns the text, each line ended, without spaces at the ends of lines.
    pub(crate) fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.right.len())
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                let pad = " ".repeat(width.saturating_sub(cell.width));
                if *right {
                    line.push_str(&pad);
                    line.push_str(&cell.text);
                } else {
                    line.push_str(&cell.text);
                    line.push_str(&pad);
                }
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_by_display_width_and_aligns_numbers_to_the_right() {
        let mut table = Table::new(&["ID", ">FUEL", "NOTE"]);
        table.row(vec!["a:世界".into(), "7".into(), "x".into()]);
        table.row(vec!["a:longer-name".into(), "1200".into(), "".into()]);
        insta::assert_snapshot!(table.render(), @r"
        ID             FUEL  NOTE
        a:世界            7  x
        a:longer-name  1200
        ");
    }
}
