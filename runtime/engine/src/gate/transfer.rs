//! Carries values from one memory to another by following their type, without making anything of them in between.
//!
//! A value is checked as a whole before any of it is copied: pointers, alignments, encodings and cases are then known to be right, and
//! whoever passed them is the one that fails. Checking also brings flat values into their one canonical form.

#![expect(
    clippy::indexing_slicing,
    reason = "slots and bytes are as many as the layout of their type says, whatever a guest passes; places that guests give are checked"
)]

use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;

use super::shape::{Cases, Node, Shape, Step};

/// Marks the length of a `latin1+utf16` string that is in UTF-16. From the canonical ABI.
const UTF16_TAG: usize = 1 << 31;

/// The memory that values are read from.
pub(crate) struct Source<'a> {
    pub(crate) memory: &'a [u8],
    pub(crate) encoding: StringEncoding,
    /// Bytes of strings and lists that may still be read.
    pub(crate) budget: usize,
}

/// The memory that values are written to.
pub(crate) trait Target {
    /// Makes room and returns where it is.
    fn allocate(&mut self, size: usize, align: usize) -> wasmtime::Result<usize>;

    /// Makes room for `bytes`, writes them there and returns where that is.
    fn put(&mut self, bytes: &[u8], align: usize) -> wasmtime::Result<usize> {
        let to = self.allocate(bytes.len(), align)?;
        span_mut(self.memory(), to, bytes.len())?.copy_from_slice(bytes);
        Ok(to)
    }

    /// Returns all of the memory.
    fn memory(&mut self) -> &mut [u8];

    /// Writes a string in the encoding of the memory's owner, and returns where it is and its length in code units.
    fn string(&mut self, text: &str) -> wasmtime::Result<(u32, u32)>;

    /// Tells whether the owner's strings are in UTF-8.
    fn is_utf8(&self) -> bool;
}

/// A value passed between components breaks the canonical ABI.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("pointer not aligned")]
    Unaligned,
    #[error("pointer out of bounds of memory")]
    OutOfBounds,
    #[error("list pointer is not aligned")]
    ListUnaligned,
    #[error("list pointer/length out of bounds of memory")]
    List,
    #[error("string pointer/length out of bounds of memory")]
    String,
    #[error("invalid utf-8 in a string")]
    Utf8,
    #[error("unpaired surrogate in a string")]
    Utf16,
    #[error("invalid `char` bit pattern: {0:#x}")]
    Char(u32),
    #[error("discriminant {0} out of range [0..{1})")]
    Discriminant(u64, usize),
    #[error(
        "too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted"
    )]
    TooMuch,
}

impl Source<'_> {
    fn span(&self, at: usize, len: usize) -> Result<&[u8], Invalid> {
        span(self.memory, at, len)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Invalid> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Invalid::TooMuch)?;
        Ok(())
    }

    /// Checks a value of type `node` at the place that a guest gave for it.
    pub(crate) fn check_at(&mut self, node: &Node, at: usize) -> Result<(), Invalid> {
        if !at.is_multiple_of(node.align) {
            return Err(Invalid::Unaligned);
        }
        self.span(at, node.size)?;
        self.check(node, at)
    }

    /// Checks a value in memory, whose own place is known to be right.
    fn check(&mut self, node: &Node, at: usize) -> Result<(), Invalid> {
        if !node.is_checked {
            return Ok(());
        }
        match &node.shape {
            Shape::Number | Shape::Narrow | Shape::Bool | Shape::Flags(_) => Ok(()),
            Shape::Char => char_of(read(self.span(at, 4)?)),
            Shape::String => {
                let (pointer, len) = pair(self.span(at, 8)?);
                self.check_string(pointer, len)
            }
            Shape::List(element) => {
                let (pointer, len) = pair(self.span(at, 8)?);
                self.check_list(element, pointer, len)
            }
            Shape::Record(fields) => fields.all.iter().try_for_each(|(offset, node)| self.check(node, at + offset)),
            Shape::Variant(cases) => {
                let case = read(self.span(at, cases.discriminant)?);
                match cases.payload(case)? {
                    Some(payload) => self.check(payload, at + cases.payload),
                    None => Ok(()),
                }
            }
        }
    }

    /// Checks a value passed flat, and brings it into canonical form. There are as many slots as the type takes.
    pub(crate) fn check_flat(&mut self, node: &Node, slots: &mut [u64]) -> Result<(), Invalid> {
        match &node.shape {
            Shape::Number => slots[0] &= mask(node.size),
            // As wasm keeps small signed numbers: with their sign, in 32 bits.
            Shape::Narrow if node.size == 1 => slots[0] = u64::from(i32::from(slots[0] as u8 as i8) as u32),
            Shape::Narrow => slots[0] = u64::from(i32::from(slots[0] as u16 as i16) as u32),
            Shape::Bool => slots[0] = u64::from(slots[0] as u32 != 0),
            Shape::Char => {
                slots[0] &= mask(4);
                char_of(slots[0])?;
            }
            Shape::Flags(count) => {
                for (word, slot) in slots.iter_mut().enumerate() {
                    *slot &= used_bits(*count, word);
                }
            }
            Shape::String | Shape::List(_) => {
                slots[0] &= mask(4);
                slots[1] &= mask(4);
                let (pointer, len) = (index(slots[0]), index(slots[1]));
                match &node.shape {
                    Shape::List(element) => self.check_list(element, pointer, len)?,
                    _ => self.check_string(pointer, len)?,
                }
            }
            Shape::Record(fields) => {
                let mut slots = slots;
                for (_, node) in &fields.all {
                    let (own, rest) = slots.split_at_mut(node.flat);
                    self.check_flat(node, own)?;
                    slots = rest;
                }
            }
            Shape::Variant(cases) => {
                slots[0] &= mask(4);
                let (case, carried) = (slots[0], &mut slots[1..]);
                let payload = cases.payload(case)?;
                let used = payload.map_or(0, |node| node.flat);
                if let Some(node) = payload {
                    self.check_flat(node, &mut carried[..used])?;
                }
                // What other cases would use says nothing in this one.
                carried[used..].fill(0);
            }
        }
        Ok(())
    }

    fn check_list(&mut self, element: &Node, pointer: usize, len: usize) -> Result<(), Invalid> {
        let bytes = len.checked_mul(element.size).ok_or(Invalid::List)?;
        span(self.memory, pointer, bytes).map_err(|_| Invalid::List)?;
        if !pointer.is_multiple_of(element.align) {
            return Err(Invalid::ListUnaligned);
        }
        self.spend(bytes)?;
        if element.is_checked {
            for number in 0..len {
                self.check(element, pointer + number * element.size)?;
            }
        }
        Ok(())
    }

    fn check_string(&mut self, pointer: usize, len: usize) -> Result<(), Invalid> {
        let (bytes, is_utf16) = self.string_span(pointer, len)?;
        let size = bytes.len();
        match self.encoding {
            StringEncoding::Utf8 => drop(std::str::from_utf8(bytes).map_err(|_| Invalid::Utf8)?),
            _ if is_utf16 => {
                if !pointer.is_multiple_of(2) {
                    return Err(Invalid::Unaligned);
                }
                if char::decode_utf16(units(bytes)).any(|unit| unit.is_err()) {
                    return Err(Invalid::Utf16);
                }
            }
            StringEncoding::CompactUtf16 if !pointer.is_multiple_of(2) => return Err(Invalid::Unaligned),
            // Every byte is a character of Latin-1.
            _ => {}
        }
        self.spend(size)
    }

    /// Returns the bytes of a string, and whether they are UTF-16.
    fn string_span(&self, pointer: usize, len: usize) -> Result<(&[u8], bool), Invalid> {
        let (len, is_utf16) = match self.encoding {
            StringEncoding::Utf8 => (Some(len), false),
            StringEncoding::Utf16 => (len.checked_mul(2), true),
            StringEncoding::CompactUtf16 if len & UTF16_TAG == 0 => (Some(len), false),
            StringEncoding::CompactUtf16 => ((len ^ UTF16_TAG).checked_mul(2), true),
        };
        let bytes = span(self.memory, pointer, len.ok_or(Invalid::String)?).map_err(|_| Invalid::String)?;
        Ok((bytes, is_utf16))
    }

    /// Copies a checked value in memory to `to`, where there is room for it.
    pub(crate) fn copy(&self, node: &Node, from: usize, target: &mut impl Target, to: usize) -> wasmtime::Result<()> {
        if !node.has_pointers {
            return Ok(copy_flatly(node, self.span(from, node.size)?, span_mut(target.memory(), to, node.size)?)?);
        }
        match &node.shape {
            Shape::String => {
                let (pointer, len) = pair(self.span(from, 8)?);
                let copied = self.copy_string(pointer, len, target)?;
                write_pair(target, to, copied)
            }
            Shape::List(element) => {
                let (pointer, len) = pair(self.span(from, 8)?);
                let copied = self.copy_list(element, pointer, len, target)?;
                write_pair(target, to, copied)
            }
            Shape::Record(fields) => fields.steps.iter().try_for_each(|step| match step {
                Step::Bytes { at, len } => {
                    let bytes = self.span(from + at, *len)?;
                    span_mut(target.memory(), to + at, *len)?.copy_from_slice(bytes);
                    Ok(())
                }
                Step::Field(number) => {
                    let (offset, node) = &fields.all[*number];
                    self.copy(node, from + offset, target, to + offset)
                }
            }),
            Shape::Variant(cases) => {
                let discriminant = self.span(from, cases.discriminant)?;
                span_mut(target.memory(), to, cases.discriminant)?.copy_from_slice(discriminant);
                match cases.payload(read(discriminant))? {
                    Some(payload) => self.copy(payload, from + cases.payload, target, to + cases.payload),
                    None => Ok(()),
                }
            }
            // These have no pointers.
            Shape::Number | Shape::Narrow | Shape::Bool | Shape::Char | Shape::Flags(_) => Ok(()),
        }
    }

    /// Copies what the slots of a checked flat value refer to, and has them refer to the copies.
    pub(crate) fn copy_flat(&self, node: &Node, slots: &mut [u64], target: &mut impl Target) -> wasmtime::Result<()> {
        if !node.has_pointers {
            return Ok(());
        }
        match &node.shape {
            Shape::String | Shape::List(_) => {
                let (pointer, len) = (index(slots[0]), index(slots[1]));
                let (pointer, len) = match &node.shape {
                    Shape::List(element) => self.copy_list(element, pointer, len, target)?,
                    _ => self.copy_string(pointer, len, target)?,
                };
                slots[0] = u64::from(pointer);
                slots[1] = u64::from(len);
            }
            Shape::Record(fields) => {
                let mut slots = slots;
                for (_, node) in &fields.all {
                    let (own, rest) = slots.split_at_mut(node.flat);
                    self.copy_flat(node, own, target)?;
                    slots = rest;
                }
            }
            Shape::Variant(cases) => {
                if let Some(payload) = cases.payload(slots[0])? {
                    self.copy_flat(payload, &mut slots[1..=payload.flat], target)?;
                }
            }
            // These have no pointers.
            Shape::Number | Shape::Narrow | Shape::Bool | Shape::Char | Shape::Flags(_) => {}
        }
        Ok(())
    }

    fn copy_list(
        &self,
        element: &Node,
        pointer: usize,
        len: usize,
        target: &mut impl Target,
    ) -> wasmtime::Result<(u32, u32)> {
        let size = len * element.size;
        let bytes = self.span(pointer, size)?;
        if element.is_plain {
            let to = target.put(bytes, element.align)?;
            return Ok((u32::try_from(to)?, u32::try_from(len)?));
        }
        let to = target.allocate(size, element.align)?;
        if !element.has_pointers {
            let room = span_mut(target.memory(), to, size)?;
            for (from, to) in bytes.chunks_exact(element.size).zip(room.chunks_exact_mut(element.size)) {
                copy_flatly(element, from, to)?;
            }
        } else {
            for offset in (0..size).step_by(element.size) {
                self.copy(element, pointer + offset, target, to + offset)?;
            }
        }
        Ok((u32::try_from(to)?, u32::try_from(len)?))
    }

    fn copy_string(&self, pointer: usize, len: usize, target: &mut impl Target) -> wasmtime::Result<(u32, u32)> {
        let (bytes, is_utf16) = self.string_span(pointer, len)?;
        if self.encoding == StringEncoding::Utf8 {
            if target.is_utf8() {
                let to = target.put(bytes, 1)?;
                return Ok((u32::try_from(to)?, u32::try_from(len)?));
            }
            return target.string(std::str::from_utf8(bytes).map_err(|_| Invalid::Utf8)?);
        }
        let text: String = if is_utf16 {
            char::decode_utf16(units(bytes)).collect::<Result<_, _>>().map_err(|_| Invalid::Utf16)?
        } else {
            bytes.iter().copied().map(char::from).collect()
        };
        target.string(&text)
    }
}

impl Cases {
    fn payload(&self, case: u64) -> Result<Option<&Node>, Invalid> {
        let known = usize::try_from(case).ok().and_then(|case| self.payloads.get(case));
        Ok(known.ok_or(Invalid::Discriminant(case, self.payloads.len()))?.as_ref())
    }
}

/// Copies a value without pointers; gaps stay as they are in `to`.
fn copy_flatly(node: &Node, from: &[u8], to: &mut [u8]) -> Result<(), Invalid> {
    if node.is_plain {
        to.copy_from_slice(from);
        return Ok(());
    }
    match &node.shape {
        Shape::Bool => to[0] = u8::from(from[0] != 0),
        Shape::Flags(count) => {
            let word = node.size.min(4);
            for (number, (from, to)) in from.chunks_exact(word).zip(to.chunks_exact_mut(word)).enumerate() {
                let bits = read(from) & used_bits(*count, number);
                to.copy_from_slice(&bits.to_le_bytes()[..word]);
            }
        }
        Shape::Record(fields) => {
            for step in &fields.steps {
                match step {
                    Step::Bytes { at, len } => to[*at..][..*len].copy_from_slice(&from[*at..][..*len]),
                    Step::Field(number) => {
                        let (at, node) = &fields.all[*number];
                        copy_flatly(node, &from[*at..][..node.size], &mut to[*at..][..node.size])?;
                    }
                }
            }
        }
        Shape::Variant(cases) => {
            let discriminant = &from[..cases.discriminant];
            to[..cases.discriminant].copy_from_slice(discriminant);
            if let Some(node) = cases.payload(read(discriminant))? {
                let at = cases.payload;
                copy_flatly(node, &from[at..][..node.size], &mut to[at..][..node.size])?;
            }
        }
        // Checked already; strings and lists are not copied here, as they have pointers.
        Shape::Number | Shape::Narrow | Shape::Char | Shape::String | Shape::List(_) => to.copy_from_slice(from),
    }
    Ok(())
}

fn write_pair(target: &mut impl Target, to: usize, (pointer, len): (u32, u32)) -> wasmtime::Result<()> {
    let room = span_mut(target.memory(), to, 8)?;
    room[..4].copy_from_slice(&pointer.to_le_bytes());
    room[4..].copy_from_slice(&len.to_le_bytes());
    Ok(())
}

fn span(memory: &[u8], at: usize, len: usize) -> Result<&[u8], Invalid> {
    memory.get(at..).and_then(|rest| rest.get(..len)).ok_or(Invalid::OutOfBounds)
}

fn span_mut(memory: &mut [u8], at: usize, len: usize) -> Result<&mut [u8], Invalid> {
    memory.get_mut(at..).and_then(|rest| rest.get_mut(..len)).ok_or(Invalid::OutOfBounds)
}

/// Reads a number of 1, 2, 4 or 8 bytes.
fn read(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(number)
}

/// Reads pointer and length.
fn pair(bytes: &[u8]) -> (usize, usize) {
    let (pointer, len) = bytes.split_at(4);
    (index(read(pointer)), index(read(len)))
}

/// Returns a 32-bit address or length as an index.
fn index(word: u64) -> usize {
    word as u32 as usize
}

fn mask(bytes: usize) -> u64 {
    u64::MAX >> (64 - 8 * bytes)
}

/// Returns the bits of flags number `32 * word` and on that a type with `count` flags has.
fn used_bits(count: usize, word: usize) -> u64 {
    match count.saturating_sub(32 * word) {
        left @ 0..=31 => (1 << left) - 1,
        _ => u64::from(u32::MAX),
    }
}

fn char_of(bits: u64) -> Result<(), Invalid> {
    let bits = bits as u32;
    char::from_u32(bits).map(drop).ok_or(Invalid::Char(bits))
}

fn units(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
}
