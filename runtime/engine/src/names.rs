//! Names of functions as people write them, for backtraces.

use std::borrow::Cow;
use std::fmt::{self, Write};

use domain::text::truncate;

/// Longest name that is made readable, in bytes; a longer one is shown as it is, as far as it is shown.
const MANGLED_BYTES_MAX: usize = 4 << 10;

/// Longest readable name, in bytes. A mangled one refers to its own parts, so that a few bytes can stand for gigabytes: what is behind
/// this is never made.
const READABLE_BYTES_MAX: usize = 1 << 10;

/// Returns the name that a compiler's one stands for, without the hashes that Rust adds.
pub(crate) fn readable(name: &str) -> Cow<'_, str> {
    if name.len() > MANGLED_BYTES_MAX {
        return truncate(name, READABLE_BYTES_MAX);
    }
    let mut readable = Bounded::default();
    let is_whole = if let Ok(rust) = rustc_demangle::try_demangle(name) {
        write!(readable, "{rust}").is_ok()
    } else if let Ok(cpp) = cpp_demangle::Symbol::new(name) {
        cpp.structured_demangle(&mut readable, &cpp_demangle::DemangleOptions::default()).is_ok()
    } else {
        return without_hash(name);
    };
    if is_whole || readable.is_full {
        Cow::Owned(without_hash(&readable.text).into_owned())
    } else {
        Cow::Borrowed(name)
    }
}

/// Takes text until there is enough of it, and then refuses more, which ends whoever writes.
#[derive(Default)]
struct Bounded {
    text: String,
    is_full: bool,
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.text.len() + more.len() <= READABLE_BYTES_MAX {
            self.text.push_str(more);
            return Ok(());
        }
        self.is_full = true;
        Err(fmt::Error)
    }
}

/// Takes the hashes out of a Rust function's name, `::h0123456789abcdef` at its end and `[0123abcd]` behind the names of
/// crates: they differ with each build and tell people nothing.
fn without_hash(name: &str) -> Cow<'_, str> {
    let is_hash = |hash: &str| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let name = name.rsplit_once("::h").filter(|(_, hash)| is_hash(hash)).map_or(name, |(name, _)| name);
    if !name.contains("]::") {
        return Cow::Borrowed(name);
    }
    let mut kept = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        kept.push_str(before);
        let behind_a_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        match after.split_once(']') {
            Some((hash, path)) if behind_a_name && path.starts_with("::") && is_crate_hash(hash) => rest = path,
            _ => {
                kept.push('[');
                rest = after;
            }
        }
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// Tells whether a text can be the number by which the compiler tells crates of the same name apart.
fn is_crate_hash(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rust_have_no_hash() {
        let cases = [
            ("a.wasm!flaky[8a1c02d3e4f5a6b7]::deepest", "a.wasm!flaky::deepest"),
            (
                "a.wasm!<alloc[1f]::vec::Vec<core[0123abcd]::num::Wrapping<u8>> as std[9]::io::Write>::write",
                "a.wasm!<alloc::vec::Vec<core::num::Wrapping<u8>> as std::io::Write>::write",
            ),
            (
                "a.wasm!core[ab12]::ops::function::FnOnce::call_once::{closure#0}",
                "a.wasm!core::ops::function::FnOnce::call_once::{closure#0}",
            ),
            ("a::step::hdd88fc334ac95d0f", "a::step"),
            // Slices, arrays and methods of resources are not hashes.
            ("a.wasm!<[f32]>::len", "a.wasm!<[f32]>::len"),
            ("a.wasm!<[u8; 4]>::fill", "a.wasm!<[u8; 4]>::fill"),
            ("a.wasm!demo:a/b@1.0.0#[method]thing.add", "a.wasm!demo:a/b@1.0.0#[method]thing.add"),
            ("a.wasm!name[not-hex]::x", "a.wasm!name[not-hex]::x"),
            ("a.wasm!name[0123456789abcdef0]::x", "a.wasm!name[0123456789abcdef0]::x"),
            ("a.wasm!open[", "a.wasm!open["),
            ("a.wasm![]::[a]::b[", "a.wasm![]::[a]::b["),
        ];
        for (name, expected) in cases {
            assert_eq!(without_hash(name), expected);
        }
    }

    #[test]
    fn what_a_compiler_made_of_a_name_is_taken_back() {
        let cases = [
            ("_ZN4demo4step17hdd88fc334ac95d0fE", "demo::step"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("_ZN5space3fooEibc", "space::foo(int, bool, char)"),
            ("demo:a/b@1.0.0#c", "demo:a/b@1.0.0#c"),
            ("_Znonsense", "_Znonsense"),
        ];
        for (name, expected) in cases {
            assert_eq!(readable(name), expected);
        }
    }

    #[test]
    fn a_short_name_that_stands_for_gigabytes_is_not_written_out() {
        // Functions of eight pointers to the function before them each.
        let name = "_Z1fPFvvE".to_owned()
            + &["S0_", "S2_", "S4_", "S6_", "S8_", "SA_", "SC_", "SE_", "SG_", "SI_", "SK_"]
                .map(|one| format!("PFv{}E", one.repeat(8)))
                .concat();
        let said = readable(&name);
        assert!(said.starts_with("f(void (*)(), void (*)(void (*)()") && said.len() <= READABLE_BYTES_MAX, "{said}");
        let long = "_Z".repeat(60_000);
        assert!(readable(&long).len() < READABLE_BYTES_MAX + 100);
    }
}
