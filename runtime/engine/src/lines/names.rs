//! The names of functions that were inlined. An entry may name them by another entry, in another unit, and that again by another: all that
//! are wanted are looked up together, in the order in which they stand, so that each unit is read a bounded number of times.

use std::collections::HashMap;

use gimli::{AttributeValue, UnitHeader};

use super::make::{Bytes, Parts};
use super::table::Draft;
use super::unit::{Entries, Texts, abbreviations};
use super::work::Work;
use crate::names;

/// Most entries on the way to a name: an inlined instance, its abstract one, its declaration.
const HOPS_MAX: usize = 4;

/// What an entry says of a name.
#[derive(Clone, Copy)]
enum Said {
    /// The number of its text.
    Text(u32),
    /// Ask this entry.
    Elsewhere(usize),
    Nothing,
}

/// All names that were looked up, by where their entries stand.
#[derive(Default)]
pub(super) struct Names {
    said: HashMap<usize, Said>,
}

impl Names {
    /// Returns the text of a name.
    pub(super) fn get(&self, mut entry: usize) -> Option<u32> {
        for _ in 0..=HOPS_MAX {
            match self.said.get(&entry)? {
                Said::Text(text) => return Some(*text),
                Said::Elsewhere(other) => entry = *other,
                Said::Nothing => return None,
            }
        }
        None
    }

    /// Looks up all names that are wanted of one core module; `units` are in order.
    pub(super) fn find(
        &mut self,
        parts: &Parts<'_, '_>,
        units: &[(usize, UnitHeader<Bytes<'_>>)],
        draft: &mut Draft,
        work: &mut Work,
    ) -> Option<()> {
        work.spend(draft.inlined_steps())?;
        let mut wanted = draft.origins();
        let own = parts.base..parts.base.saturating_add(parts.module.section(".debug_info").len());
        for _ in 0..HOPS_MAX {
            wanted.retain(|entry| own.contains(entry) && !self.said.contains_key(entry));
            wanted.sort_unstable();
            wanted.dedup();
            let mut rest = wanted.as_slice();
            let mut further = Vec::new();
            while let Some(first) = rest.first() {
                let start = first.checked_sub(parts.base)?;
                let position = units.partition_point(|(unit, _)| *unit <= start).checked_sub(1)?;
                let end = units.get(position + 1).map_or(usize::MAX, |(next, _)| next.saturating_add(parts.base));
                let (own, after) = rest.split_at(rest.partition_point(|entry| *entry < end).max(1));
                let (_, header) = units.get(position)?;
                further.extend(self.ask(parts, header, own, (draft, work))?);
                rest = after;
            }
            wanted = further;
        }
        Some(())
    }

    /// Asks entries of one unit; returns whom they refer to.
    fn ask(
        &mut self,
        parts: &Parts<'_, '_>,
        header: &UnitHeader<Bytes<'_>>,
        entries: &[usize],
        (draft, work): (&mut Draft, &mut Work),
    ) -> Option<Vec<usize>> {
        let mut further = Vec::new();
        work.spend(super::unit::UNIT_STEPS)?;
        let table = abbreviations(parts, header, work)?;
        let texts = table.as_ref().map(|table| Texts::of(parts, header, table, work));
        for entry in entries {
            let said = match (&table, &texts) {
                (Some(table), Some(texts)) => {
                    let offset = gimli::DebugInfoOffset(entry.checked_sub(parts.base)?).to_unit_offset(header);
                    match offset.and_then(|offset| Entries::new(header, table, Some(offset))) {
                        Some(at) => say(parts, at, texts, (&mut *draft, &mut *work))?,
                        None => Said::Nothing,
                    }
                }
                _ => Said::Nothing,
            };
            if let Said::Elsewhere(other) = said {
                further.push(other);
            }
            self.said.insert(*entry, said);
        }
        Some(further)
    }
}

/// Reads what one entry says of its name.
fn say(
    parts: &Parts<'_, '_>,
    mut entry: Entries<'_, '_>,
    texts: &Texts<'_, '_>,
    (draft, work): (&mut Draft, &mut Work),
) -> Option<Said> {
    let (mut linkage, mut name, mut other) = (None, None, None);
    let header = entry.header;
    let read = entry.next(work, |attribute, value| match attribute {
        gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => linkage = Some(value),
        gimli::DW_AT_name => name = Some(value),
        gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => other = Some(value),
        _ => {}
    })?;
    if read.is_none() {
        return Some(Said::Nothing);
    }
    work.spend(super::unit::TEXT_STEPS)?;
    if let Some(text) = linkage.or_else(|| name.filter(|_| other.is_none())).and_then(|value| texts.text(value)) {
        return Some(draft.text(&names::readable(&text)).map_or(Said::Nothing, Said::Text));
    }
    Some(other.and_then(|value| target(parts, header, value)).map_or(Said::Nothing, Said::Elsewhere))
}

/// Returns which entry an attribute refers to, as a number that no entry of another core module has.
pub(super) fn target(
    parts: &Parts<'_, '_>,
    header: &UnitHeader<Bytes<'_>>,
    value: AttributeValue<Bytes<'_>>,
) -> Option<usize> {
    let offset = match value {
        AttributeValue::UnitRef(offset) => offset.to_debug_info_offset(header)?,
        AttributeValue::DebugInfoRef(offset) => offset,
        _ => return None,
    };
    offset.0.checked_add(parts.base)
}
