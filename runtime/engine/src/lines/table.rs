//! The form in which source lines are kept: sorted rows of numbers, in which a place is found by halving.
//!
//! `RTLN`, a version, five counts; then, all numbers of four bytes, little-endian: the starts of functions; rows (offset, file, line,
//! column); inlined calls (depth, start, end, name, file, line, column); where each text ends; the texts. Offsets are those of the whole
//! component's bytes, so they need no module beside them. What a table says is a guest's word: it may be wrong, and it is bounded.

use std::collections::HashMap;

/// Begins each table; the last four bytes are the version of the form.
const MAGIC: &[u8; 8] = b"RTLN\x01\0\0\0";

/// Bytes before the functions.
const HEAD_BYTES: usize = MAGIC.len() + 5 * NUMBER_BYTES;

const NUMBER_BYTES: usize = 4;

/// Most rows of one component; what more it has, has no lines.
const ROWS_MAX: usize = 512 << 10;

/// Most inlined calls of one component.
const INLINED_MAX: usize = 128 << 10;

/// Most bytes of all its names and files together.
const TEXT_BYTES_MAX: usize = 2 << 20;

/// Most names and files of one component.
const TEXTS_MAX: usize = 64 << 10;

/// Most calls that are inlined into each other.
pub(super) const INLINED_DEPTH_MAX: u32 = 32;

/// The number of no text.
const NO_TEXT: u32 = u32::MAX;

/// A place in a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of its text, or of none.
    file: u32,
    line: u32,
    column: u32,
}

impl Place {
    /// No place: what is behind the end of what is known.
    pub(super) const NONE: Self = Self { file: NO_TEXT, line: 0, column: 0 };

    pub(super) fn new(file: Option<u32>, line: u64, column: u64) -> Self {
        // What does not fit is nonsense: there are no such files.
        let number = |number: u64| u32::try_from(number).unwrap_or(0);
        Self { file: file.unwrap_or(NO_TEXT), line: number(line), column: number(column) }
    }
}

/// From this instruction on, code is made of this place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Where its function begins.
    pub(super) function: u32,
    pub(super) offset: u32,
    pub(super) place: Place,
}

/// A call in whose stead the called function's own code stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inlined {
    /// How many others it is inside of.
    pub(super) depth: u32,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The entry that names what is called, until the name is known.
    pub(super) origin: Option<usize>,
    /// Where it is called.
    pub(super) call: Place,
}

/// A table that is being made.
#[derive(Default)]
pub(super) struct Draft {
    rows: Vec<Row>,
    inlined: Vec<Inlined>,
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
    text_bytes: usize,
}

impl Draft {
    /// Adds the rows of one sequence, all or none.
    pub(super) fn add(&mut self, sequence: &[Row]) {
        if self.rows.len() + sequence.len() <= ROWS_MAX {
            self.rows.extend_from_slice(sequence);
        }
    }

    /// Returns how many rows one sequence may still have.
    pub(super) fn room(&self) -> usize {
        ROWS_MAX - self.rows.len()
    }

    /// Tells whether there is no room for more inlined calls.
    pub(super) fn is_full(&self) -> bool {
        self.inlined.len() >= INLINED_MAX
    }

    /// Adds an inlined call, if there is room for one more.
    pub(super) fn inline(&mut self, inlined: Inlined) {
        if !self.is_full() {
            self.inlined.push(inlined);
        }
    }

    /// Returns what it costs to go through all inlined calls, in steps.
    pub(super) fn inlined_steps(&self) -> u64 {
        self.inlined.len() as u64 * 8
    }

    /// Returns the entries whose names are wanted, each once, in their order.
    pub(super) fn origins(&self) -> Vec<usize> {
        let mut origins: Vec<_> = self.inlined.iter().filter_map(|inlined| inlined.origin).collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    /// Returns the number of a text, `None` if there is no room for it.
    pub(super) fn text(&mut self, text: &str) -> Option<u32> {
        if let Some(known) = self.numbers.get(text) {
            return Some(*known);
        }
        let number = u32::try_from(self.texts.len()).ok().filter(|_| self.texts.len() < TEXTS_MAX)?;
        let bytes = self.text_bytes + text.len();
        if bytes > TEXT_BYTES_MAX {
            return None;
        }
        self.text_bytes = bytes;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        Some(number)
    }

    /// Returns the table's bytes, `None` if it would say nothing. `name` knows the texts of those that were inlined.
    pub(super) fn finish(mut self, name: impl Fn(usize) -> Option<u32>) -> Option<Vec<u8>> {
        self.sort();
        if self.rows.is_empty() {
            return None;
        }
        let mut functions: Vec<_> = self.rows.iter().map(|row| row.function).collect();
        functions.dedup();
        let counts = [functions.len(), self.rows.len(), self.inlined.len(), self.texts.len(), self.text_bytes];
        let mut bytes = MAGIC.to_vec();
        let mut put = |numbers: &[u32]| numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        put(&counts.map(|count| u32::try_from(count).unwrap_or(u32::MAX)));
        put(&functions);
        for Row { offset, place: Place { file, line, column }, .. } in &self.rows {
            put(&[*offset, *file, *line, *column]);
        }
        for Inlined { depth, start, end, origin, call: Place { file, line, column } } in &self.inlined {
            put(&[*depth, *start, *end, origin.and_then(&name).unwrap_or(NO_TEXT), *file, *line, *column]);
        }
        let mut end = 0_u32;
        for text in &self.texts {
            end = end.saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
            put(&[end]);
        }
        self.texts.iter().for_each(|text| bytes.extend(text.bytes()));
        Some(bytes)
    }

    /// Puts rows in order: the last that is said of an instruction counts, and what repeats what is before goes.
    fn sort(&mut self) {
        self.rows.sort_by_key(|row| (row.offset, row.place != Place::NONE));
        self.rows.reverse();
        self.rows.dedup_by_key(|row| row.offset);
        self.rows.reverse();
        self.rows.dedup_by_key(|row| (row.function, row.place));
        self.inlined.sort_by_key(|inlined| (inlined.depth, inlined.start));
    }
}

/// Rows of `N` numbers each in the bytes of a table.
#[derive(Clone, Copy)]
struct Part<const N: usize> {
    start: usize,
    count: usize,
}

impl<const N: usize> Part<N> {
    /// Takes the part that begins at `start`, and moves that to its end.
    fn take(start: &mut usize, count: u32) -> Option<Self> {
        let count = usize::try_from(count).ok()?;
        let part = Self { start: *start, count };
        *start = count.checked_mul(N * NUMBER_BYTES)?.checked_add(*start)?;
        Some(part)
    }

    fn get(self, bytes: &[u8], position: usize) -> Option<[u32; N]> {
        let start = self.start.checked_add(position.checked_mul(N * NUMBER_BYTES)?)?;
        let row = bytes.get(start..start.checked_add(N * NUMBER_BYTES)?)?;
        let mut numbers = [0; N];
        for (number, bytes) in numbers.iter_mut().zip(row.chunks_exact(NUMBER_BYTES)) {
            *number = u32::from_le_bytes(bytes.try_into().ok()?);
        }
        Some(numbers)
    }

    /// Finds the last row that is not behind what is looked for, by halving.
    fn last(self, bytes: &[u8], is_behind: impl Fn(&[u32; N]) -> bool) -> Option<[u32; N]> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_behind(&self.get(bytes, middle)?) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        self.get(bytes, low.checked_sub(1)?)
    }
}

/// The source lines of a component.
pub(crate) struct Table {
    bytes: Vec<u8>,
    functions: Part<1>,
    rows: Part<4>,
    inlined: Part<7>,
    ends: Part<1>,
    texts: usize,
}

/// One frame of those that an instruction is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spot<'a> {
    /// The function that was inlined; `None` for the one whose code it is.
    pub(crate) inlined: Option<&'a str>,
    pub(crate) file: Option<&'a str>,
    /// 0 if it is not known.
    pub(crate) line: u32,
    /// 0 if it is not known.
    pub(crate) column: u32,
}

impl Table {
    /// Takes a table's bytes; `None` if that is not what they are.
    pub(crate) fn read(bytes: Vec<u8>) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let counts = Part::<5> { start: MAGIC.len(), count: 1 };
        let [functions, rows, inlined, texts, text_bytes] = counts.get(&bytes, 0)?;
        let mut end = HEAD_BYTES;
        let functions = Part::take(&mut end, functions)?;
        let rows = Part::take(&mut end, rows)?;
        let inlined = Part::take(&mut end, inlined)?;
        let ends = Part::take(&mut end, texts)?;
        let texts = end;
        let whole = texts.checked_add(usize::try_from(text_bytes).ok()?)?;
        (whole == bytes.len()).then_some(Self { bytes, functions, rows, inlined, ends, texts })
    }

    /// Returns how many bytes it takes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns where the instruction at `offset` of the function that begins at `function` comes from, innermost first: what was inlined
    /// there, then the function. Empty if that is not known.
    pub(crate) fn find(&self, function: u32, offset: u32) -> Vec<Spot<'_>> {
        let is_known = self.functions.last(&self.bytes, |[start]| *start > function) == Some([function]);
        let row = self.rows.last(&self.bytes, |[start, ..]| *start > offset);
        let Some([_, file, line, column]) = row.filter(|[start, ..]| is_known && *start >= function) else {
            return Vec::new();
        };
        if (file, line) == (NO_TEXT, 0) {
            return Vec::new();
        }
        let mut calls = Vec::new();
        for depth in 0..INLINED_DEPTH_MAX {
            let found = self.inlined.last(&self.bytes, |[at, start, ..]| (*at, *start) > (depth, offset));
            match found {
                Some([at, start, end, name, file, line, column])
                    if at == depth && start >= function && offset < end =>
                {
                    calls.push((name, file, line, column));
                }
                _ => break,
            }
        }
        let mut place = (file, line, column);
        let mut spots = Vec::with_capacity(calls.len() + 1);
        for (name, file, line, column) in calls.into_iter().rev() {
            spots.push(self.spot(Some(self.text(name).unwrap_or("<inlined function>")), place));
            place = (file, line, column);
        }
        spots.push(self.spot(None, place));
        spots
    }

    fn spot<'a>(&'a self, inlined: Option<&'a str>, (file, line, column): (u32, u32, u32)) -> Spot<'a> {
        Spot { inlined, file: self.text(file), line, column }
    }

    fn text(&self, number: u32) -> Option<&str> {
        let number = usize::try_from(number).ok().filter(|number| *number < self.ends.count)?;
        let end_of = |number| self.ends.get(&self.bytes, number).and_then(|[end]| usize::try_from(end).ok());
        let start = match number.checked_sub(1) {
            Some(before) => end_of(before)?,
            None => 0,
        };
        let range = self.texts.checked_add(start)?..self.texts.checked_add(end_of(number)?)?;
        std::str::from_utf8(self.bytes.get(range)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let mut draft = Draft::default();
        let file = draft.text("a.c");
        let at = |function, offset, line| Row { function, offset, place: Place::new(file, line, 3) };
        let end = |function, offset| Row { function, offset, place: Place::NONE };
        draft.add(&[at(200, 210, 9), at(200, 215, 9), end(200, 220)]);
        draft.add(&[at(100, 100, 1), at(100, 104, 7), at(100, 104, 2), at(100, 110, 3), end(100, 150)]);
        let call = |line| Place::new(file, line, 0);
        draft.inline(Inlined { depth: 1, start: 105, end: 108, origin: Some(2), call: call(20) });
        draft.inline(Inlined { depth: 0, start: 104, end: 110, origin: Some(1), call: call(10) });
        draft
    }

    fn table(draft: Draft, names: &[u32]) -> Table {
        Table::read(draft.finish(|origin| names.get(origin).copied()).unwrap()).unwrap()
    }

    fn lines(table: &Table, function: u32, offset: u32) -> Vec<(Option<&str>, Option<&str>, u32)> {
        table.find(function, offset).into_iter().map(|spot| (spot.inlined, spot.file, spot.line)).collect()
    }

    #[test]
    fn an_instruction_has_the_line_of_the_last_row_before_it_in_its_function() {
        let table = table(draft(), &[]);
        let own = |line| vec![(None, Some("a.c"), line)];
        assert_eq!(lines(&table, 100, 100), own(1));
        assert_eq!(lines(&table, 100, 103), own(1));
        assert_eq!(lines(&table, 100, 149), own(3));
        assert_eq!(lines(&table, 200, 219), own(9));
        assert_eq!(lines(&table, 100, 150), []);
        assert_eq!(lines(&table, 200, 205), [], "before the first row of its function");
        assert_eq!(lines(&table, 101, 103), [], "no function begins there");
    }

    #[test]
    fn what_was_inlined_comes_before_what_it_was_inlined_into() {
        let mut draft = draft();
        let names = [NO_TEXT, draft.text("outer").unwrap(), draft.text("inner").unwrap()];
        let table = table(draft, &names);
        let file = Some("a.c");
        assert_eq!(lines(&table, 100, 106), [(Some("inner"), file, 2), (Some("outer"), file, 20), (None, file, 10)]);
        assert_eq!(lines(&table, 100, 104), [(Some("outer"), file, 2), (None, file, 10)]);
        assert_eq!(lines(&table, 100, 112), [(None, file, 3)]);
    }

    #[test]
    fn what_is_cut_or_changed_is_no_table_or_one_that_says_something_else() {
        let whole = draft().finish(|_| None).unwrap();
        for length in 0..whole.len() {
            assert!(Table::read(whole[..length].to_vec()).is_none(), "{length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Some(table) = Table::read(flipped) else { continue };
            for offset in [0, 100, 106, 219, u32::MAX] {
                table.find(100, offset);
                table.find(offset, u32::MAX);
            }
        }
    }

    #[test]
    fn a_table_is_bounded_and_one_without_rows_is_none() {
        assert!(Draft::default().finish(|_| None).is_none());
        let mut draft = Draft::default();
        let rows = |count: usize| -> Vec<Row> {
            (0..count).map(|n| Row { function: 1, offset: n as u32, place: Place::new(None, n as u64, 1) }).collect()
        };
        draft.add(&rows(ROWS_MAX));
        assert_eq!(draft.room(), 0);
        draft.add(&rows(1));
        assert!(draft.text(&"x".repeat(TEXT_BYTES_MAX)).is_some());
        assert!(draft.text("y").is_none());
        for _ in 0..=INLINED_MAX {
            draft.inline(Inlined { depth: 0, start: 0, end: 1, origin: None, call: Place::NONE });
        }
        let bytes = draft.finish(|_| None).unwrap().len();
        assert!(bytes <= domain::ports::LINES_BYTES_MAX, "{bytes}");
    }
}
