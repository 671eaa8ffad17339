//! Makes a table of source lines of a component's bytes.

use std::collections::HashSet;
use std::ops::Range;

use gimli::{DebugInfoOffset, Dwarf, EndianSlice, LittleEndian, UnitHeader};
use wasmparser::{CustomSectionReader, Encoding, Parser, Payload};

use super::names::Names;
use super::table::Draft;
use super::unit;
use super::work::Work;

/// Bytes of a component, read as DWARF.
pub(super) type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// The section without which there are no lines.
const LINES: &str = ".debug_line";

/// What the names of sections with debug information begin with.
const DEBUG: &str = ".debug_";

/// Most such sections of one core module: there are some twenty kinds.
const SECTIONS_MAX: usize = 64;

/// Most units that are read of one core module. Large programs have a few thousand.
const UNITS_MAX: usize = 64 << 10;

/// Tells whether a component has debug information of which lines can be made. Costs one walk over its sections.
pub(crate) fn are_there(wasm: &[u8]) -> bool {
    Parser::new(0).parse_all(wasm).map_while(Result::ok).any(|payload| match payload {
        Payload::CustomSection(section) => section.name() == LINES && !section.data().is_empty(),
        _ => false,
    })
}

/// Makes a table of all that the debug information of a component's core modules says of source lines; `None` if that is nothing.
///
/// Takes a bounded number of steps and a bounded amount of memory. What is damaged, or too much, is left out.
pub(crate) fn make(wasm: &[u8]) -> Option<Vec<u8>> {
    let (mut draft, mut work) = (Draft::default(), Work::default());
    let mut names = Names::default();
    let mut open: Vec<Option<CoreModule<'_>>> = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::Version { encoding, .. } => {
                open.push((encoding == Encoding::Module).then(CoreModule::default));
            }
            Payload::End(_) => {
                if let Some(Some(module)) = open.pop() {
                    // Once the steps are used up, what was made by then is whole.
                    let _ = module.read(&mut draft, &mut names, &mut work);
                }
            }
            payload => {
                if let Some(Some(module)) = open.last_mut() {
                    module.see(payload);
                }
            }
        }
    }
    draft.finish(|origin| names.get(origin))
}

/// A core module, as far as debug information speaks of it.
#[derive(Default)]
pub(super) struct CoreModule<'a> {
    sections: Vec<CustomSectionReader<'a>>,
    /// Where its code begins: addresses of debug information count from there.
    code: u32,
    /// The bodies of its functions, in order.
    bodies: Vec<Range<u32>>,
}

impl<'a> CoreModule<'a> {
    fn see(&mut self, payload: Payload<'a>) {
        let narrow = |range: Range<usize>| Some(u32::try_from(range.start).ok()?..u32::try_from(range.end).ok()?);
        match payload {
            Payload::CodeSectionStart { range, .. } => self.code = narrow(range).map_or(0, |range| range.start),
            Payload::CodeSectionEntry(body) => self.bodies.extend(narrow(body.range())),
            Payload::CustomSection(section) => self.keep(section),
            // Nothing else has to do with lines.
            _ => {}
        }
    }

    fn keep(&mut self, section: CustomSectionReader<'a>) {
        if section.name().starts_with(DEBUG) && self.sections.len() < SECTIONS_MAX {
            self.sections.push(section);
        }
    }

    /// Returns the bytes of a section; none if there is no such section.
    pub(super) fn section(&self, name: &str) -> &'a [u8] {
        self.find(name).map_or(&[], |section| section.data())
    }

    fn find(&self, name: &str) -> Option<&CustomSectionReader<'a>> {
        self.sections.iter().find(|section| section.name() == name)
    }

    /// Returns the body that the instruction at an address is in, and the instruction's offset in the component. What the linker left
    /// out has addresses in no body.
    pub(super) fn locate(&self, address: u64) -> Option<(&Range<u32>, u32)> {
        let offset = u32::try_from(address.checked_add(u64::from(self.code))?).ok()?;
        let after = self.bodies.partition_point(|body| body.start <= offset);
        let body = self.bodies.get(after.checked_sub(1)?)?;
        body.contains(&offset).then_some((body, offset))
    }

    fn read(&self, draft: &mut Draft, names: &mut Names, work: &mut Work) -> Option<()> {
        if self.section(LINES).is_empty() {
            return Some(());
        }
        let load = |id: gimli::SectionId| Ok(EndianSlice::new(self.section(id.name()), LittleEndian));
        let dwarf: Dwarf<Bytes<'_>> = Dwarf::load(load).map_err(|_: gimli::Error| ()).ok()?;
        let parts =
            Parts { module: self, dwarf: &dwarf, base: self.find(".debug_info").map_or(0, |info| info.data_offset()) };
        let mut units: Vec<(usize, UnitHeader<Bytes<'_>>)> = Vec::new();
        let mut programs = HashSet::new();
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next()
            && units.len() < UNITS_MAX
        {
            work.spend(unit::UNIT_STEPS)?;
            let Some(DebugInfoOffset(start)) = header.debug_info_offset() else { continue };
            let done = unit::read(&parts, &header, &mut programs, draft, work);
            units.push((start, header));
            done?;
        }
        names.find(&parts, &units, draft, work)
    }
}

/// What reading a unit needs to know.
pub(super) struct Parts<'p, 'a> {
    pub(super) module: &'p CoreModule<'a>,
    pub(super) dwarf: &'p Dwarf<Bytes<'a>>,
    /// Where its entries begin in the component: added to the offset of one, it tells it from those of other core modules.
    pub(super) base: usize,
}
