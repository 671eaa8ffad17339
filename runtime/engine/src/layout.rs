//! Where the parts of compiled code stand in its file.
//!
//! Making pages executable that a process has mapped already interrupts all processors on which it runs, and they wait for each other. A
//! processor that reads a page of a file maps those around it as well, so loading a small file maps its machine code long before that is
//! run. Code that is loaded is therefore kept with its machine code behind everything that is read then, out of reach of that.

use std::ops::Range;

/// How far around a page that is read others are mapped, in bytes: Linux's usual bound.
const AROUND: usize = 64 << 10;

/// A file of compiled code begins so: an ELF file of 64 bits, little-endian, in the first version.
const MAGIC: &[u8] = b"\x7fELF\x02\x01\x01";
/// Places and sizes of numbers in the file's header: where the sections are described, how long a description is, how many there are.
const SECTIONS_AT: usize = 0x28;
const SECTION_BYTES: usize = 0x3a;
const SECTION_COUNT: usize = 0x3c;
/// Bytes of a section's description.
const DESCRIPTION: usize = 64;
/// Places of numbers in it: what the section is for, where it is, how long it is, what its place is a multiple of.
const FLAGS: usize = 0x08;
const OFFSET: usize = 0x18;
const SIZE: usize = 0x20;
const ALIGNED: usize = 0x30;
/// Flag of a section that is executed.
const EXECUTED: u64 = 4;

/// Moves the machine code to the end, with a hole before it. Code of which the layout is not as expected stays as it is.
pub(crate) fn text_apart(mut code: Vec<u8>) -> Vec<u8> {
    let _ = move_text(&mut code);
    code
}

/// Says that nothing was moved by `None`; nothing is changed then.
fn move_text(code: &mut Vec<u8>) -> Option<()> {
    let (table, sections) = sections(code)?;
    let mut executed = sections.iter().filter(|section| section.is_executed && section.size > 0);
    let (text, None) = (executed.next()?, executed.next()) else { return None };
    let (from, size) = (text.offset, text.size);
    let end = from.checked_add(size).filter(|end| *end <= code.len())?;
    let page = sections.iter().map(|section| section.aligned).max()?.max(1);
    // What is behind moves up by the size of the code and has to stay on its pages; nothing may lie across its ends.
    let keeps = |at: usize, bytes: usize| at >= end || at.checked_add(bytes).is_some_and(|end| end <= from);
    let is_text = |section: &Section| section.is_executed && section.size > 0;
    let others_keep = sections.iter().all(|other| is_text(other) || keeps(other.offset, other.size));
    let is_understood = others_keep && keeps(table, sections.len() * DESCRIPTION);
    if !is_understood || page > AROUND || size % page != 0 || from % page != 0 {
        return None;
    }
    let to = (code.len() - size + AROUND).checked_next_multiple_of(page)?;
    let whole = to + size;

    code.reserve_exact(whole - code.len());
    code.resize(whole, 0);
    code.get_mut(from..)?.rotate_left(size);
    let moved = |at: usize| if at >= end { at - size } else { at };
    put(code, SECTIONS_AT, moved(table))?;
    for (number, section) in sections.iter().enumerate() {
        let offset = if is_text(section) { to } else { moved(section.offset) };
        put(code, moved(table) + number * DESCRIPTION + OFFSET, offset)?;
    }
    Some(())
}

/// What a section's description says of it.
struct Section {
    is_executed: bool,
    offset: usize,
    size: usize,
    aligned: usize,
}

/// Returns where the sections are described, and all of them.
fn sections(code: &[u8]) -> Option<(usize, Vec<Section>)> {
    if !code.starts_with(MAGIC) || take::<2>(code, SECTION_BYTES)? != DESCRIPTION as u64 {
        return None;
    }
    let table = usize::try_from(take::<8>(code, SECTIONS_AT)?).ok()?;
    let count = usize::try_from(take::<2>(code, SECTION_COUNT)?).ok()?;
    let descriptions = code.get(within(table, count.checked_mul(DESCRIPTION)?)?)?;
    let number = |section: &[u8], at| usize::try_from(take::<8>(section, at)?).ok();
    let section = |section: &[u8]| {
        Some(Section {
            is_executed: take::<8>(section, FLAGS)? & EXECUTED != 0,
            offset: number(section, OFFSET)?,
            size: number(section, SIZE)?,
            aligned: number(section, ALIGNED)?,
        })
    };
    Some((table, descriptions.chunks_exact(DESCRIPTION).map(section).collect::<Option<_>>()?))
}

fn within(at: usize, bytes: usize) -> Option<Range<usize>> {
    Some(at..at.checked_add(bytes)?)
}

/// Reads a number of `BYTES` bytes.
fn take<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let number = bytes.get(within(at, BYTES)?)?;
    Some(number.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
}

/// Writes a number of eight bytes.
fn put(bytes: &mut [u8], at: usize, number: usize) -> Option<()> {
    bytes.get_mut(within(at, 8)?)?.copy_from_slice(&u64::try_from(number).ok()?.to_le_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wasmtime::component::{Component, Linker};
    use wasmtime::{Engine, Store};

    use super::*;

    /// A component that answers what is in its memory, which comes from its file.
    fn compiled(engine: &Engine) -> Vec<u8> {
        let text = r#"(component
            (core module $m
              (memory 1) (data (i32.const 8) "\2a\00\00\00")
              (func (export "f") (result i32) (i32.load (i32.const 8))))
            (core instance $i (instantiate $m))
            (func (export "f") (result u32) (canon lift (core func $i "f"))))"#;
        engine.precompile_component(&wat::parse_str(text).unwrap()).unwrap()
    }

    fn text_of(code: &[u8]) -> Range<usize> {
        let (_, sections) = sections(code).unwrap();
        let text = sections.iter().find(|section| section.is_executed).unwrap();
        text.offset..text.offset + text.size
    }

    #[test]
    fn the_machine_code_is_last_and_far_from_the_rest() {
        let code = compiled(&Engine::default());
        let (apart, old) = (text_apart(code.clone()), text_of(&code));
        let new = text_of(&apart);
        assert_eq!((&apart[new.clone()], new.end), (&code[old.clone()], apart.len()));
        let (table, others) = sections(&apart).unwrap();
        for other in others.iter().filter(|other| !other.is_executed) {
            assert!(other.offset + other.size + AROUND <= new.start);
            assert_eq!(other.offset % other.aligned.max(1), 0);
        }
        assert!(table + others.len() * DESCRIPTION + AROUND <= new.start);
        assert_eq!(
            apart.iter().filter(|byte| **byte != 0).count().abs_diff(code.iter().filter(|byte| **byte != 0).count())
                / 100,
            0
        );
        // Where it is already behind everything else, it only goes further.
        assert!(text_of(&text_apart(apart.clone())).start > new.start);
    }

    #[test]
    fn it_runs_from_there() {
        let engine = Engine::default();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text_apart(compiled(&engine))).unwrap();
        #[expect(unsafe_code, reason = "code is loaded by trusting its file")]
        // SAFETY: it was compiled a moment ago, by this engine.
        let component = unsafe { Component::deserialize_file(&engine, file.path()) }.unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let answer = instance.get_typed_func::<(), (u32,)>(&mut store, "f").unwrap();
        assert_eq!(answer.call(&mut store, ()).unwrap(), (42,));
    }

    proptest! {
        #[test]
        fn what_is_not_understood_stays_as_it_is(at in 0usize..4_096, byte: u8, cut in 0usize..60_000) {
            for bytes in [Vec::new(), vec![byte; at], MAGIC.to_vec(), [MAGIC, &vec![byte; at]].concat()] {
                prop_assert_eq!(text_apart(bytes.clone()), bytes);
            }
            let mut damaged = compiled(&Engine::default());
            damaged.truncate(cut.max(64));
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            // Whatever it is, it is refused by whoever loads it; here it only must not be a reason to stop.
            let _ = text_apart(damaged);
        }
    }
}
