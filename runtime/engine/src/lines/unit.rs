//! Reads one unit of DWARF: its line program, and which calls were inlined.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugAddrBase, DebugAddrIndex, DebugLineOffset, DebugRngListsBase,
    DebugStrOffsetsBase, DwAt, DwTag, EndianSlice, EntriesRaw, IncompleteLineProgram, LineProgramHeader, LineRows,
    LittleEndian, RangeListsOffset, RawRngListEntry, Reader as _, UnitHeader, UnitOffset,
};

use super::make::{Bytes, Parts};
use super::names::target;
use super::table::{Draft, INLINED_DEPTH_MAX, Inlined, Place, Row};
use super::work::Work;

/// Steps for looking at a unit, beside those for what is in it.
pub(super) const UNIT_STEPS: u64 = 64;

/// Steps for looking up one text.
pub(super) const TEXT_STEPS: u64 = 64;

/// Longest text that is read, in bytes.
const TEXT_BYTES: usize = 4 << 10;

/// Longest path that is kept, in bytes.
const PATH_BYTES_MAX: usize = 512;

/// Longest table of abbreviations, in bytes; compilers make a few thousand.
const ABBREVIATIONS_BYTES_MAX: usize = 64 << 10;

/// Longest header of a line program, in bytes. Each of them may become some two hundred bytes in memory.
const HEADER_BYTES_MAX: u32 = 256 << 10;

/// Most ranges of one inlined call.
const RANGES_MAX: usize = 64;

/// Most steps in a list of ranges: some only change what others count from.
const RANGE_STEPS_MAX: usize = 256;

/// Entries of a unit, one after the other.
pub(super) struct Entries<'p, 'a> {
    pub(super) header: &'p UnitHeader<Bytes<'a>>,
    raw: EntriesRaw<'p, Bytes<'a>>,
}

/// An entry that was read.
pub(super) struct Entry {
    pub(super) tag: DwTag,
    pub(super) depth: isize,
    pub(super) has_children: bool,
}

impl<'p, 'a> Entries<'p, 'a> {
    /// Begins at `offset`, or at the first.
    pub(super) fn new(
        header: &'p UnitHeader<Bytes<'a>>,
        abbreviations: &'p Abbreviations,
        offset: Option<UnitOffset>,
    ) -> Option<Self> {
        Some(Self { header, raw: header.entries_raw(abbreviations, offset).ok()? })
    }

    /// Reads the next entry and hands out its attributes. `None` in `Some` is the end, also of what makes sense; `None` alone is the end of
    /// all steps.
    pub(super) fn next(
        &mut self,
        work: &mut Work,
        mut hear: impl FnMut(DwAt, AttributeValue<Bytes<'a>>),
    ) -> Option<Option<Entry>> {
        loop {
            work.spend(1)?;
            if self.raw.is_empty() {
                return Some(None);
            }
            let depth = self.raw.next_depth();
            let abbreviation = match self.raw.read_abbreviation() {
                Ok(Some(abbreviation)) => abbreviation,
                // The end of somebody's children.
                Ok(None) => continue,
                Err(_) => return Some(None),
            };
            for attribute in abbreviation.attributes() {
                let before = self.raw.next_offset().0;
                let Ok(read) = self.raw.read_attribute(*attribute) else { return Some(None) };
                work.pass(self.raw.next_offset().0.saturating_sub(before))?;
                hear(read.name(), read.value());
            }
            let (tag, has_children) = (abbreviation.tag(), abbreviation.has_children());
            return Some(Some(Entry { tag, depth, has_children }));
        }
    }
}

/// Reads the abbreviations of a unit: `None` in `Some` if they are no good.
pub(super) fn abbreviations(
    parts: &Parts<'_, '_>,
    header: &UnitHeader<Bytes<'_>>,
    work: &mut Work,
) -> Option<Option<Abbreviations>> {
    let section = parts.module.section(".debug_abbrev");
    let Some(rest) = section.get(header.debug_abbrev_offset().0..) else { return Some(None) };
    let rest = rest.get(..ABBREVIATIONS_BYTES_MAX).unwrap_or(rest);
    let length = length_of(EndianSlice::new(rest, LittleEndian));
    // They cost more than other bytes, and the same ones can be meant by every unit.
    work.spend(1 + 2 * length.unwrap_or(rest.len()) as u64)?;
    let Some(table) = length.and_then(|length| rest.get(..length)) else { return Some(None) };
    Some(DebugAbbrev::new(table, LittleEndian).abbreviations(gimli::DebugAbbrevOffset(0)).ok())
}

/// Returns how long a table of abbreviations is, which nothing says but itself.
fn length_of(table: Bytes<'_>) -> Option<usize> {
    let mut rest = table;
    // A code, or the end; a tag and whether it has children; attributes, each a name and a form.
    while rest.read_uleb128().ok()? != 0 {
        rest.read_uleb128().ok()?;
        rest.read_u8().ok()?;
        loop {
            let (name, form) = (rest.read_uleb128().ok()?, rest.read_uleb128().ok()?);
            if form == u64::from(gimli::DW_FORM_implicit_const.0) {
                rest.read_sleb128().ok()?;
            }
            if (name, form) == (0, 0) {
                break;
            }
        }
    }
    Some(table.len() - rest.len())
}

/// What the first entry of a unit says, which is of use to all others.
struct Root<'a> {
    lines: Option<DebugLineOffset>,
    folder: Option<AttributeValue<Bytes<'a>>>,
    low: Option<AttributeValue<Bytes<'a>>>,
    strings: DebugStrOffsetsBase,
    addresses: DebugAddrBase,
    ranges: DebugRngListsBase,
}

impl<'a> Root<'a> {
    fn read(entries: &mut Entries<'_, 'a>, work: &mut Work) -> Option<Option<Self>> {
        let encoding = entries.header.encoding();
        let strings = DebugStrOffsetsBase::default_for_encoding_and_file(encoding, gimli::DwarfFileType::Main);
        let ranges = DebugRngListsBase::default_for_encoding_and_file(encoding, gimli::DwarfFileType::Main);
        let addresses = DebugAddrBase(0);
        let mut root = Self { lines: None, folder: None, low: None, strings, addresses, ranges };
        let read = entries.next(work, |attribute, value| match (attribute, value) {
            (gimli::DW_AT_stmt_list, AttributeValue::DebugLineRef(offset)) => root.lines = Some(offset),
            (gimli::DW_AT_comp_dir, value) => root.folder = Some(value),
            (gimli::DW_AT_low_pc, value) => root.low = Some(value),
            (_, AttributeValue::DebugStrOffsetsBase(base)) => root.strings = base,
            (_, AttributeValue::DebugAddrBase(base)) => root.addresses = base,
            (_, AttributeValue::DebugRngListsBase(base)) => root.ranges = base,
            _ => {}
        })?;
        Some(read.map(|_| root))
    }
}

/// Looks texts up.
pub(super) struct Texts<'p, 'a> {
    parts: &'p Parts<'p, 'a>,
    format: gimli::Format,
    base: DebugStrOffsetsBase,
}

impl<'p, 'a> Texts<'p, 'a> {
    /// Makes it for a unit, whose first entry says where its texts are.
    pub(super) fn of(
        parts: &'p Parts<'p, 'a>,
        header: &UnitHeader<Bytes<'a>>,
        abbreviations: &Abbreviations,
        work: &mut Work,
    ) -> Self {
        let root = Entries::new(header, abbreviations, None).and_then(|mut entries| Root::read(&mut entries, work)?);
        let base = root.map_or(DebugStrOffsetsBase(0), |root| root.strings);
        Self { parts, format: header.format(), base }
    }

    /// Returns a text, as far as it may be long. Costs a bounded amount of time wherever it is.
    pub(super) fn text(&self, value: AttributeValue<Bytes<'a>>) -> Option<Cow<'a, str>> {
        let whole = match value {
            AttributeValue::String(text) => text.slice(),
            AttributeValue::DebugStrRef(offset) => self.parts.module.section(".debug_str").get(offset.0..)?,
            AttributeValue::DebugLineStrRef(offset) => self.parts.module.section(".debug_line_str").get(offset.0..)?,
            AttributeValue::DebugStrOffsetsIndex(index) => {
                let offset = self.parts.dwarf.debug_str_offsets.get_str_offset(self.format, self.base, index).ok()?;
                self.parts.module.section(".debug_str").get(offset.0..)?
            }
            _ => return None,
        };
        let cut = whole.get(..TEXT_BYTES).unwrap_or(whole);
        let text = cut.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(text))
    }
}

/// Reads a unit into `draft`; `None` once there are no steps left. Of several units with one line program the first is read.
pub(super) fn read<'a>(
    parts: &Parts<'_, 'a>,
    header: &UnitHeader<Bytes<'a>>,
    programs: &mut HashSet<usize>,
    draft: &mut Draft,
    work: &mut Work,
) -> Option<()> {
    let Some(table) = abbreviations(parts, header, work)? else { return Some(()) };
    let Some(mut entries) = Entries::new(header, &table, None) else { return Some(()) };
    let Some(root) = Root::read(&mut entries, work)? else { return Some(()) };
    let Some(lines) = root.lines.filter(|lines| programs.insert(lines.0)) else { return Some(()) };
    let texts = Texts { parts, format: header.format(), base: root.strings };
    let folder = root.folder.and_then(|value| texts.text(value));
    let mut files = Files { texts: &texts, folder, known: HashMap::new() };
    if !is_bearable(parts, lines, work)? {
        return Some(());
    }
    let program = parts.dwarf.debug_line.program(lines, header.address_size(), None, None);
    let Ok(program) = program else { return Some(()) };
    let mut rows = program.rows();
    read_rows(parts, &mut rows, &mut files, (&mut *draft, &mut *work))?;
    read_inlined(parts, &root, entries, (rows.header(), &mut files), (draft, work))
}

/// Pays for a line program by the length that it claims, and tells whether its header may be read.
fn is_bearable(parts: &Parts<'_, '_>, DebugLineOffset(start): DebugLineOffset, work: &mut Work) -> Option<bool> {
    let Some(bytes) = parts.module.section(".debug_line").get(start..) else { return Some(false) };
    let number = |at: usize| {
        bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(u32::MAX, |four: &[u8; 4]| u32::from_le_bytes(*four))
    };
    let version = bytes.get(4..).and_then(<[u8]>::first_chunk).map_or(0, |two: &[u8; 2]| u16::from_le_bytes(*two));
    // Version 5 has two more bytes before the length of the header.
    let header = number(if version >= 5 { 8 } else { 6 });
    let claimed = usize::try_from(number(0)).unwrap_or(usize::MAX).min(bytes.len());
    // Each byte may be a row.
    work.spend(claimed as u64)?;
    Some(header <= HEADER_BYTES_MAX)
}

/// The files of a unit, as they are asked for.
struct Files<'p, 'a> {
    texts: &'p Texts<'p, 'a>,
    /// The folder that paths begin in.
    folder: Option<Cow<'a, str>>,
    known: HashMap<u64, Option<u32>>,
}

impl<'a> Files<'_, 'a> {
    /// Returns the number of a file's path.
    fn number(
        &mut self,
        header: &LineProgramHeader<Bytes<'a>>,
        file: u64,
        (draft, work): (&mut Draft, &mut Work),
    ) -> Option<Option<u32>> {
        if let Some(known) = self.known.get(&file) {
            return Some(*known);
        }
        work.spend(TEXT_STEPS)?;
        let number = self.path(header, file).and_then(|path| draft.text(&path));
        self.known.insert(file, number);
        Some(number)
    }

    fn path(&self, header: &LineProgramHeader<Bytes<'a>>, file: u64) -> Option<String> {
        let file = header.file(file)?;
        let mut path = self.folder.clone().unwrap_or_default().into_owned();
        // The first folder is that of the unit.
        if file.directory_index() != 0
            && let Some(folder) = file.directory(header).and_then(|value| self.texts.text(value))
        {
            push(&mut path, &folder);
        }
        push(&mut path, &self.texts.text(file.path_name())?);
        Some(domain::text::truncate(&path, PATH_BYTES_MAX).into_owned())
    }
}

fn push(path: &mut String, part: &str) {
    let is_rooted =
        |text: &str| text.starts_with(['/', '\\']) || text.get(1..3).is_some_and(|it| it == ":/" || it == ":\\");
    if is_rooted(part) {
        path.clear();
    } else if !path.is_empty() && !path.ends_with(['/', '\\']) {
        path.push('/');
    }
    path.push_str(part);
}

/// Runs a line program.
fn read_rows<'a>(
    parts: &Parts<'_, 'a>,
    rows: &mut LineRows<Bytes<'a>, IncompleteLineProgram<Bytes<'a>>>,
    files: &mut Files<'_, 'a>,
    (draft, work): (&mut Draft, &mut Work),
) -> Option<()> {
    let mut sequence: Vec<Row> = Vec::new();
    // Of what the linker left out, no code is there: such a sequence begins in no function.
    let (mut has_begun, mut is_left_out) = (false, false);
    while let Ok(Some((header, row))) = rows.next_row() {
        let here = parts.module.locate(row.address());
        if !has_begun {
            (has_begun, is_left_out) = (true, here.is_none());
        }
        if sequence.len() >= draft.room() {
            // Half a sequence would give instructions the lines of those before them.
            is_left_out = true;
            sequence.clear();
        }
        if let Some((body, offset)) = here.filter(|_| !is_left_out) {
            let place = if row.end_sequence() {
                Place::NONE
            } else {
                let column = match row.column() {
                    gimli::ColumnType::LeftEdge => 0,
                    gimli::ColumnType::Column(column) => column.get(),
                };
                let file = files.number(header, row.file_index(), (&mut *draft, &mut *work))?;
                Place::new(file, row.line().map_or(0, std::num::NonZeroU64::get), column)
            };
            sequence.push(Row { function: body.start, offset, place });
        }
        if row.end_sequence() {
            draft.add(&sequence);
            sequence.clear();
            has_begun = false;
        }
    }
    Some(())
}

/// Reads which calls were inlined.
fn read_inlined<'a>(
    parts: &Parts<'_, 'a>,
    root: &Root<'a>,
    mut entries: Entries<'_, 'a>,
    (lines, files): (&LineProgramHeader<Bytes<'a>>, &mut Files<'_, 'a>),
    (draft, work): (&mut Draft, &mut Work),
) -> Option<()> {
    let header = entries.header;
    // How deep those entries stand which this one is inside of.
    let mut open: Vec<isize> = Vec::new();
    loop {
        let mut call = Call::default();
        let Some(entry) = entries.next(work, |attribute, value| call.hear(attribute, value))? else { return Some(()) };
        while open.last().is_some_and(|depth| *depth >= entry.depth) {
            open.pop();
        }
        if draft.is_full() {
            return Some(());
        }
        let depth = u32::try_from(open.len()).unwrap_or(INLINED_DEPTH_MAX);
        if entry.tag != gimli::DW_TAG_inlined_subroutine || depth >= INLINED_DEPTH_MAX {
            continue;
        }
        if entry.has_children {
            open.push(entry.depth);
        }
        let file = match call.file {
            Some(file) => files.number(lines, file, (&mut *draft, &mut *work))?,
            None => None,
        };
        let place = Place::new(file, call.line, call.column);
        let origin = call.origin.and_then(|value| target(parts, header, value));
        for (low, high) in call.ranges(parts, root, header, work)? {
            let Some((body, start)) = parts.module.locate(low) else { continue };
            let length = u32::try_from(high.saturating_sub(low)).unwrap_or(u32::MAX);
            let end = start.saturating_add(length).min(body.end);
            draft.inline(Inlined { depth, start, end, origin, call: place });
        }
    }
}

/// An inlined call, as its entry says it.
#[derive(Default)]
struct Call<'a> {
    origin: Option<AttributeValue<Bytes<'a>>>,
    file: Option<u64>,
    line: u64,
    column: u64,
    low: Option<AttributeValue<Bytes<'a>>>,
    high: Option<AttributeValue<Bytes<'a>>>,
    list: Option<AttributeValue<Bytes<'a>>>,
}

impl<'a> Call<'a> {
    fn hear(&mut self, attribute: DwAt, value: AttributeValue<Bytes<'a>>) {
        match attribute {
            gimli::DW_AT_abstract_origin => self.origin = Some(value),
            gimli::DW_AT_call_file => {
                self.file = match value {
                    AttributeValue::FileIndex(file) => Some(file),
                    other => other.udata_value(),
                };
            }
            gimli::DW_AT_call_line => self.line = value.udata_value().unwrap_or(0),
            gimli::DW_AT_call_column => self.column = value.udata_value().unwrap_or(0),
            gimli::DW_AT_low_pc => self.low = Some(value),
            gimli::DW_AT_high_pc => self.high = Some(value),
            gimli::DW_AT_ranges => self.list = Some(value),
            _ => {}
        }
    }

    /// Returns the addresses of its code, from and to.
    fn ranges(
        &self,
        parts: &Parts<'_, 'a>,
        root: &Root<'a>,
        header: &UnitHeader<Bytes<'a>>,
        work: &mut Work,
    ) -> Option<Vec<(u64, u64)>> {
        let at = |index: DebugAddrIndex| {
            parts.dwarf.debug_addr.get_address(header.address_size(), root.addresses, index).ok()
        };
        let address = |value: Option<AttributeValue<Bytes<'a>>>| match value? {
            AttributeValue::Addr(address) => Some(address),
            AttributeValue::DebugAddrIndex(index) => at(index),
            _ => None,
        };
        let mut found = Vec::new();
        if let Some(low) = address(self.low) {
            let length = || self.high.and_then(|high| high.udata_value());
            if let Some(high) = address(self.high).or_else(|| low.checked_add(length()?)) {
                found.push((low, high));
            }
            return Some(found);
        }
        let encoding = header.encoding();
        let offset = match self.list {
            Some(AttributeValue::RangeListsRef(offset)) => Some(RangeListsOffset(offset.0)),
            Some(AttributeValue::DebugRngListsIndex(index)) => {
                parts.dwarf.ranges.get_offset(encoding, root.ranges, index).ok()
            }
            _ => None,
        };
        let list = offset.and_then(|offset| parts.dwarf.ranges.raw_ranges(offset, encoding).ok());
        let Some(mut list) = list else { return Some(found) };
        let mut base = address(root.low).unwrap_or(0);
        for _ in 0..RANGE_STEPS_MAX {
            work.spend(1)?;
            let Ok(Some(entry)) = list.next() else { break };
            let range = match entry {
                RawRngListEntry::BaseAddress { addr } => {
                    base = addr;
                    None
                }
                RawRngListEntry::BaseAddressx { addr } => {
                    base = at(addr).unwrap_or(base);
                    None
                }
                RawRngListEntry::AddressOrOffsetPair { begin, end } | RawRngListEntry::OffsetPair { begin, end } => {
                    base.checked_add(begin).zip(base.checked_add(end))
                }
                RawRngListEntry::StartEnd { begin, end } => Some((begin, end)),
                RawRngListEntry::StartLength { begin, length } => begin.checked_add(length).map(|end| (begin, end)),
                RawRngListEntry::StartxEndx { begin, end } => at(begin).zip(at(end)),
                RawRngListEntry::StartxLength { begin, length } => {
                    at(begin).and_then(|begin| Some((begin, begin.checked_add(length)?)))
                }
            };
            found.extend(range.filter(|(low, high)| low < high));
            if found.len() == RANGES_MAX {
                break;
            }
        }
        Some(found)
    }
}
