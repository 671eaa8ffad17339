//! Values of rows as sled has them: shortened where that helps.
//!
//! Rows of entries, revisions and failures are JSON with the same field names in each, so they are compressed against a text that has
//! those names, which leaves a fifth to a third of them.

use domain::ports::StorageError;

use super::blocks::{push_number, take_number};
use super::rows::Tree;
use super::view::bad_row;

/// What rows look like. Part of the format: a change of it needs another `SCHEMA`.
const LOOKS: &[u8] = include_bytes!("looks.json");

/// First byte of a value that follows as it is.
const PLAIN: u8 = 0;
/// First byte of a value of which the length follows, and then LZ4.
const SHORTENED: u8 = 1;

/// Longest value that a row may claim to have, in bytes: what can never have been written is not made room for.
const LENGTH_MAX: usize = 64 << 20;

/// Tells whether a tree's values are shortened.
pub(super) fn is_shortened(tree: Tree) -> bool {
    matches!(tree, Tree::Entries | Tree::Revisions | Tree::Failures)
}

/// Writes a value as sled gets it.
pub(super) fn pack(value: &[u8]) -> Vec<u8> {
    let shortened = lz4_flex::block::compress_with_dict(value, LOOKS);
    if shortened.len() + 4 >= value.len() {
        return [&[PLAIN], value].concat();
    }
    let mut packed = Vec::with_capacity(shortened.len() + 4);
    packed.push(SHORTENED);
    push_number(&mut packed, value.len());
    packed.extend(shortened);
    packed
}

/// Reads a value as sled has it.
pub(super) fn unpack(tree: Tree, packed: &[u8]) -> Result<Vec<u8>, StorageError> {
    let value = match packed.split_first() {
        Some((&PLAIN, value)) => Some(value.to_vec()),
        Some((&SHORTENED, mut rest)) => {
            take_number(&mut rest).filter(|length| *length <= LENGTH_MAX).and_then(|length| {
                lz4_flex::block::decompress_with_dict(rest, length, LOOKS).ok().filter(|v| v.len() == length)
            })
        }
        _ => None,
    };
    value.ok_or_else(|| bad_row(tree, "its value cannot be read"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_is_that_of_this_schema() {
        assert_eq!(
            (super::super::sled::SCHEMA, crc32c::crc32c(LOOKS)),
            (6, 56_867_106),
            "a change of the text needs another schema"
        );
    }

    proptest! {
        #[test]
        fn values_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..600), times in 0usize..40) {
            for value in [bytes.clone(), bytes.repeat(times), LOOKS.to_vec()] {
                prop_assert_eq!(unpack(Tree::Entries, &pack(&value)).unwrap(), value);
            }
            // Whatever is there is read or refused.
            let _ = unpack(Tree::Entries, &bytes);
        }
    }
}
