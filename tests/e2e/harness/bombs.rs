//! Components whose bytes are few and whose cost is not, written byte by byte.

/// Returns a number as WebAssembly writes it.
fn leb(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb(content.len() as u64).as_slice(), content].concat()
}

/// Returns a section of `count` equal items.
fn items(id: u8, count: usize, item: &[u8]) -> Vec<u8> {
    section(id, &[leb(count as u64), item.repeat(count)].concat())
}

fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".as_slice(), &sections.concat()].concat()
}

fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    let module = [b"\0asm\x01\0\0\0".as_slice(), &sections.concat()].concat();
    component(&[section(1, &module)])
}

/// One type, `func()`.
fn no_type() -> Vec<u8> {
    items(1, 1, &[0x60, 0, 0])
}

fn body(code: &[u8]) -> Vec<u8> {
    [leb(code.len() as u64).as_slice(), code].concat()
}

/// So many functions that do nothing.
pub(crate) fn functions(count: usize) -> Vec<u8> {
    module(&[no_type(), items(3, count, &[0]), items(10, count, &body(&[0, 0x0b]))])
}

/// So many functions with so many locals each.
pub(crate) fn locals(functions: usize, locals: u64) -> Vec<u8> {
    let code = [&[1], leb(locals).as_slice(), &[0x7f, 0x0b]].concat();
    module(&[no_type(), items(3, functions, &[0]), items(10, functions, &body(&code))])
}

/// One function of that code.
fn function(code: &[u8]) -> Vec<u8> {
    module(&[no_type(), items(3, 1, &[0]), items(10, 1, &body(&[&[0], code, &[0x0b]].concat()))])
}

/// One function of so many bytes.
pub(crate) fn long_function(bytes: usize) -> Vec<u8> {
    function(&vec![0x01; bytes])
}

/// One function that calls itself so many times.
pub(crate) fn calls(count: usize) -> Vec<u8> {
    function(&[0x10, 0].repeat(count))
}

/// One function of so many blocks inside one another.
pub(crate) fn blocks(depth: usize) -> Vec<u8> {
    function(&[[0x02, 0x40].repeat(depth), vec![0x0b; depth]].concat())
}

/// One function that jumps to one of so many places.
pub(crate) fn jumps(count: usize) -> Vec<u8> {
    function(&[&[0x41, 0, 0x0e], leb(count as u64).as_slice(), &vec![0; count + 1]].concat())
}

/// So many types of functions.
pub(crate) fn types(count: usize) -> Vec<u8> {
    module(&[items(1, count, &[0x60, 0, 0])])
}

/// Instance types that hold instance types, so many levels.
pub(crate) fn type_levels(depth: usize) -> Vec<u8> {
    let levels = [0x42, 1, 1].repeat(depth);
    component(&[section(7, &[&[1], levels.as_slice(), &[0x42, 0]].concat())])
}

/// Components inside one another, so many levels.
pub(crate) fn levels(depth: usize) -> Vec<u8> {
    (0..depth).fold(component(&[]), |inner, _| component(&[section(4, &inner)]))
}

/// One segment of so many elements.
pub(crate) fn elements(count: usize) -> Vec<u8> {
    let segment = [&[1, 0], leb(count as u64).as_slice(), &vec![0; count]].concat();
    module(&[no_type(), items(3, 1, &[0]), items(9, 1, &segment), items(10, 1, &body(&[0, 0x0b]))])
}

/// A section that claims so many types and has none.
pub(crate) fn claimed_types(count: u64) -> Vec<u8> {
    component(&[section(7, &leb(count))])
}

/// A custom section of so many bytes with that name.
pub(crate) fn custom(name: &str, bytes: usize) -> Vec<u8> {
    component(&[section(0, &[&[name.len() as u8], name.as_bytes(), &vec![0; bytes]].concat())])
}
