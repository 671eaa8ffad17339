//! What all rows of the index add up to, so that an opening notices rows that are missing, changed or too many.

use domain::ports::StorageError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::rows::Tree;
use super::view::{read, write};

/// How many rows each tree has, how long they are together, and the sum of their digests.
///
/// The sum is that of the first 128 bits of each row's SHA-256, so it does not depend on the order of the rows, and a change
/// costs only the rows that it changes. It guards against damage, not against somebody who forges rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    numbers: [u64; Tree::ALL.len()],
    bytes: u64,
    /// High and low half, because JSON has no number of 128 bits.
    sum: (u64, u64),
}

impl Totals {
    /// Reads what was written.
    pub(super) fn read(value: &[u8]) -> Result<Self, StorageError> {
        read(Tree::Meta, value)
    }

    /// Writes the totals as a row's value.
    pub(super) fn write(&self) -> Result<Vec<u8>, StorageError> {
        write(self)
    }

    /// Takes a row in.
    pub(super) fn add(&mut self, tree: Tree, key: &[u8], value: &[u8]) {
        if let Some(number) = self.numbers.get_mut(tree as usize) {
            *number = number.wrapping_add(1);
        }
        self.bytes = self.bytes.wrapping_add((key.len() + value.len()) as u64);
        self.set_sum(self.sum().wrapping_add(digest(tree, key, value)));
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, tree: Tree, key: &[u8], value: &[u8]) {
        if let Some(number) = self.numbers.get_mut(tree as usize) {
            *number = number.wrapping_sub(1);
        }
        self.bytes = self.bytes.wrapping_sub((key.len() + value.len()) as u64);
        self.set_sum(self.sum().wrapping_sub(digest(tree, key, value)));
    }

    /// Takes other rows in.
    pub(super) fn merge(&mut self, others: &Self) {
        for (number, more) in self.numbers.iter_mut().zip(others.numbers) {
            *number = number.wrapping_add(more);
        }
        self.bytes = self.bytes.wrapping_add(others.bytes);
        self.set_sum(self.sum().wrapping_add(others.sum()));
    }

    /// Returns how many rows a tree has.
    pub(super) fn number(&self, tree: Tree) -> u64 {
        self.numbers.get(tree as usize).copied().unwrap_or(0)
    }

    /// Returns how many rows there are.
    pub(super) fn len(&self) -> u64 {
        self.numbers.iter().sum()
    }

    /// Returns how long keys and values are together, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Says how these rows differ from those that there should be; `None` if they do not.
    pub(super) fn misfit(&self, expected: &Self) -> Option<String> {
        let differing = |tree: &Tree| self.number(*tree) != expected.number(*tree);
        if let Some(tree) = Tree::ALL.into_iter().find(differing) {
            let (found, wanted) = (self.number(tree), expected.number(tree));
            return Some(format!("it has {found} rows of `{}` instead of {wanted}", tree.name()));
        }
        (self != expected).then(|| "its rows are not those that were written".to_owned())
    }

    fn sum(&self) -> u128 {
        u128::from(self.sum.0) << 64 | u128::from(self.sum.1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
    fn set_sum(&mut self, sum: u128) {
        self.sum = ((sum >> 64) as u64, sum as u64);
    }
}

fn digest(tree: Tree, key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = Sha256::new();
    hasher.update([tree as u8]);
    // So that no byte can move from the key to the value.
    hasher.update((key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let digest: [u8; 32] = hasher.finalize().into();
    digest.first_chunk().map_or(0, |half: &[u8; 16]| u128::from_le_bytes(*half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_count_and_everything_else_does() {
        let of = |rows: &[(Tree, &str, &str)]| {
            let mut totals = Totals::default();
            rows.iter().for_each(|(tree, key, value)| totals.add(*tree, key.as_bytes(), value.as_bytes()));
            totals
        };
        let (a, b) = ((Tree::Entries, "a", "12"), (Tree::Edges, "b", ""));
        assert_eq!(of(&[a, b]), of(&[b, a]));
        for other in [
            (Tree::Entries, "a1", "2"),
            (Tree::Entries, "a", "13"),
            (Tree::Entries, "b", "12"),
            (Tree::Terms, "a", "12"),
        ] {
            assert_ne!(of(&[other, b]), of(&[a, b]), "{other:?}");
        }
        assert_ne!(of(&[a, a]), of(&[b, b]));
        let mut merged = of(&[a]);
        merged.merge(&of(&[b]));
        assert_eq!(merged, of(&[a, b]));
        let mut less = of(&[a, b]);
        less.remove(Tree::Edges, b"b", b"");
        assert_eq!(less, of(&[a]));
        assert_eq!(Totals::read(&of(&[a, b]).write().unwrap()).unwrap(), of(&[a, b]));
        assert_eq!(of(&[a]).misfit(&of(&[a])), None);
        assert_eq!(of(&[a]).misfit(&of(&[a, b])).unwrap(), "it has 0 rows of `edges` instead of 1");
        let changed = of(&[(Tree::Entries, "a", "21")]);
        assert_eq!(changed.misfit(&of(&[a])).unwrap(), "its rows are not those that were written");
    }
}
