//! The frame of WebAssembly binaries: sections and their lengths.

/// The magic number of a component, and what it begins with.
pub(crate) const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
pub(crate) const SECTION_MODULE: u8 = 1;
pub(crate) const SECTION_COMPONENT: u8 = 4;
pub(crate) const SECTION_FUNCTION: u8 = 3;
pub(crate) const SECTION_CODE: u8 = 10;

pub(crate) fn sections(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut sections = Vec::new();
    while let Some((id, rest)) = bytes.split_first() {
        let (length, at) = read_leb(rest);
        sections.push((*id, &rest[at..at + length]));
        bytes = &rest[at + length..];
    }
    sections
}

pub(crate) fn section(into: &mut Vec<u8>, id: u8, content: &[u8]) {
    into.push(id);
    into.extend(leb(content.len()));
    into.extend(content);
}

pub(crate) fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

/// Returns a number and how many bytes it takes.
pub(crate) fn read_leb(bytes: &[u8]) -> (usize, usize) {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return (number, at + 1);
        }
    }
    panic!("a number has no end");
}
