//! Many small rows in one of sled's.
//!
//! Sled spends several times their length on rows of a few dozen bytes. Rows of the trees that consist of such are kept together, in
//! order, as blocks of about a kilobyte in which a key only has what differs from the key before it. A block's own key is at most
//! its first row's key and greater than every key of the block before; the first block of a tree has the empty key.

use std::ops::{Bound, ControlFlow};

use domain::ports::StorageError;

use super::rows::{Tree, Visit};
use super::view::bad_row;

/// Largest block, in bytes, unless a single row is longer. Each change of a row writes its block anew.
const BLOCK_MAX: usize = 1_024;

type Row = (Vec<u8>, Vec<u8>);

/// Keys and values for one of sled's trees; no value where something is removed.
pub(super) type Puts = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// A change of one row: its key and its new value, `None` if it goes.
pub(super) type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// Hears of a row that is changed: key, old value, new value.
pub(super) type Exchange<'a> = dyn FnMut(&[u8], Option<&[u8]>, Option<&[u8]>) + 'a;

/// Tells whether a tree's rows are kept in blocks.
pub(super) fn has_blocks(tree: Tree) -> bool {
    matches!(tree, Tree::Terms | Tree::Edges)
}

/// The blocks of one tree.
pub(super) struct Blocks<'a> {
    pub(super) tree: Tree,
    pub(super) blocks: &'a sled::Tree,
}

/// What can go wrong: sled, or a block that cannot be read.
pub(super) enum Failed {
    Sled(sled::Error),
    Row(StorageError),
}

impl From<sled::Error> for Failed {
    fn from(error: sled::Error) -> Self {
        Self::Sled(error)
    }
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        Self::Row(error)
    }
}

impl Blocks<'_> {
    /// Returns a row's value.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
        let Some((_, block)) = self.block_of(key)? else { return Ok(None) };
        let mut rows = Reader::of(&block);
        while let Some(value) = rows.next(self.tree)? {
            match rows.key.as_slice().cmp(key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(value.to_vec())),
                std::cmp::Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Visits the rows with keys of at least `from`, in order, until `visit` breaks off.
    pub(super) fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), Failed> {
        let first = self.block_of(from)?.map_or_else(Vec::new, |(key, _)| key.to_vec());
        // A block that is split meanwhile comes as two, of which the second has rows of before.
        let mut seen: Option<Vec<u8>> = None;
        for block in self.blocks.range(first..) {
            let (_, block) = block?;
            let mut rows = Reader::of(&block);
            while let Some(value) = rows.next(self.tree)? {
                if rows.key.as_slice() < from || seen.as_ref().is_some_and(|seen| rows.key <= *seen) {
                    continue;
                }
                if visit(&rows.key, value)? == ControlFlow::Break(()) {
                    return Ok(());
                }
            }
            if seen.as_ref().is_none_or(|seen| *seen < rows.key) {
                seen = Some(rows.key);
            }
        }
        Ok(())
    }

    /// Returns the blocks that have to be put, or removed where there is no value, so that the changes are made, which are in the order
    /// of their keys. `exchange` hears of every row that will be another.
    pub(super) fn rewrite(&self, mut changes: &[Change<'_>], exchange: &mut Exchange<'_>) -> Result<Puts, Failed> {
        let mut rewritten = Vec::new();
        while let Some((first, _)) = changes.first() {
            let found = self.block_of(first)?;
            let (key, block) = match &found {
                Some((key, block)) => (key.to_vec(), block.as_ref()),
                None => (Vec::new(), [].as_slice()),
            };
            let after =
                self.blocks.range::<&[u8], _>((Bound::Excluded(*first), Bound::Unbounded)).next().transpose()?;
            let here =
                after.map_or(changes.len(), |(next, _)| changes.partition_point(|(key, _)| *key < next.as_ref()));
            let (of_this, others) = changes.split_at(here);
            changes = others;
            let mut is_changed = false;
            let rows = self.merge(block, of_this, &mut |key, old, new| {
                is_changed = true;
                exchange(key, old, new);
            })?;
            if is_changed {
                put(&mut rewritten, key, &rows);
            }
        }
        Ok(rewritten)
    }

    /// Returns the rows of a block as they are after the changes, which are all within it.
    fn merge(&self, block: &[u8], changes: &[Change<'_>], exchange: &mut Exchange<'_>) -> Result<Vec<Row>, Failed> {
        let mut merged = Vec::new();
        let mut changes = changes.iter().peekable();
        let mut add = |change: &Change<'_>, old: Option<&[u8]>, merged: &mut Vec<Row>| {
            let (key, new) = *change;
            if new != old {
                exchange(key, old, new);
            }
            merged.extend(new.map(|new| (key.to_vec(), new.to_vec())));
        };
        let mut rows = Reader::of(block);
        while let Some(value) = rows.next(self.tree)? {
            while let Some(earlier) = changes.next_if(|(key, _)| *key < rows.key.as_slice()) {
                add(earlier, None, &mut merged);
            }
            match changes.next_if(|(key, _)| *key == rows.key.as_slice()) {
                Some(same) => add(same, Some(value), &mut merged),
                None => merged.push((rows.key.clone(), value.to_vec())),
            }
        }
        changes.for_each(|later| add(later, None, &mut merged));
        Ok(merged)
    }

    /// Returns the block in which a row with this key is, or would be.
    fn block_of(&self, key: &[u8]) -> Result<Option<(sled::IVec, sled::IVec)>, Failed> {
        Ok(self.blocks.range::<&[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back().transpose()?)
    }
}

/// Makes blocks of rows that follow each other, the first of them with `key`; none of no rows.
fn put(rewritten: &mut Puts, mut key: Vec<u8>, rows: &[Row]) {
    let whole = encode(rows);
    if whole.len() <= BLOCK_MAX {
        return rewritten.push((key, (!whole.is_empty()).then_some(whole)));
    }
    // Of equal length, with some room in each for what comes next.
    let fill = whole.len() / whole.len().div_ceil(BLOCK_MAX * 3 / 4);
    let (mut block, mut before) = (Vec::new(), [].as_slice());
    for (row_key, value) in rows {
        if block.len() >= fill {
            let next = separator(before, row_key).to_vec();
            rewritten.push((std::mem::replace(&mut key, next), Some(std::mem::take(&mut block))));
            before = &[];
        }
        push(&mut block, before, row_key, value);
        before = row_key;
    }
    rewritten.push((key, Some(block)));
}

/// Returns the shortest beginning of `key` that is greater than `before`.
fn separator<'a>(before: &[u8], key: &'a [u8]) -> &'a [u8] {
    let shared = shared(before, key);
    key.get(..=shared).unwrap_or(key)
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn encode(rows: &[Row]) -> Vec<u8> {
    let (mut block, mut before) = (Vec::new(), [].as_slice());
    for (key, value) in rows {
        push(&mut block, before, key, value);
        before = key;
    }
    block
}

/// Adds a row: how much of the key before it its key begins with, the rest of the key, the value; lengths first.
fn push(block: &mut Vec<u8>, before: &[u8], key: &[u8], value: &[u8]) {
    let shared = shared(before, key);
    let rest = key.get(shared..).unwrap_or_default();
    for number in [shared, rest.len(), value.len()] {
        push_number(block, number);
    }
    block.extend(rest);
    block.extend(value);
}

/// Adds a number, seven bits to a byte, the lowest first; the last byte is below 128.
#[expect(clippy::cast_possible_truncation, reason = "seven bits are left")]
pub(super) fn push_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the beginning; `None` if there is none.
pub(super) fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0usize;
    for shift in (0..usize::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Reads a block row by row.
struct Reader<'a> {
    rest: &'a [u8],
    /// The key of the row that was read last.
    key: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn of(block: &'a [u8]) -> Self {
        Self { rest: block, key: Vec::new() }
    }

    /// Reads the next row and returns its value.
    fn next(&mut self, tree: Tree) -> Result<Option<&'a [u8]>, StorageError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.read().map(Some).ok_or_else(|| bad_row(tree, "its block cannot be read"))
    }

    fn read(&mut self) -> Option<&'a [u8]> {
        let rest = &mut self.rest;
        let (shared, key, value) = (take_number(rest)?, take_number(rest)?, take_number(rest)?);
        let (key, after) = rest.split_at_checked(key)?;
        let (value, after) = after.split_at_checked(value)?;
        if shared > self.key.len() {
            return None;
        }
        self.key.truncate(shared);
        self.key.extend(key);
        self.rest = after;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(0u8..3, 0..6),
            (0u16..400).prop_map(|number| format!("status\0active\0demo:n{number:04}").into_bytes()),
            proptest::collection::vec(any::<u8>(), 200..2_000),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn blocks_hold_what_a_map_holds(
            rounds in proptest::collection::vec(
                proptest::collection::btree_map(text(), proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..9)), 0..150),
                1..8,
            ),
            from in text(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let db = sled::Config::new().path(folder.path()).flush_every_ms(None).open().unwrap();
            let tree = db.open_tree("terms").unwrap();
            let blocks = Blocks { tree: Tree::Terms, blocks: &tree };
            let mut model = BTreeMap::<Vec<u8>, Vec<u8>>::new();
            for changes in &rounds {
                let list: Vec<Change<'_>> = changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
                let mut heard = Vec::new();
                let rewritten = blocks.rewrite(&list, &mut |key, old, new| {
                    heard.push((key.to_vec(), old.map(<[u8]>::to_vec), new.map(<[u8]>::to_vec)));
                });
                for (key, block) in rewritten.ok().unwrap() {
                    match block {
                        Some(block) => tree.insert(key, block).unwrap(),
                        None => tree.remove(key).unwrap(),
                    };
                }
                let expected: Vec<_> = changes
                    .iter()
                    .map(|(key, new)| (key.clone(), model.get(key).cloned(), new.clone()))
                    .filter(|(_, old, new)| old != new)
                    .collect();
                prop_assert_eq!(heard, expected);
                for (key, value) in changes {
                    match value {
                        Some(value) => model.insert(key.clone(), value.clone()),
                        None => model.remove(key),
                    };
                    prop_assert_eq!(&blocks.get(key).ok().unwrap(), value);
                }
                let mut found = Vec::new();
                let scanned = blocks.scan(&from, &mut |key, value| {
                    found.push((key.to_vec(), value.to_vec()));
                    Ok(ControlFlow::Continue(()))
                });
                prop_assert!(scanned.is_ok());
                let wanted: Vec<_> = model.range(from.clone()..).map(|(key, value)| (key.clone(), value.clone())).collect();
                prop_assert_eq!(found, wanted);
            }
        }

        #[test]
        fn bytes_that_are_no_block_are_an_error_or_rows(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut rows = Reader::of(&bytes);
            while let Ok(Some(_)) = rows.next(Tree::Terms) {}
        }
    }

    #[test]
    fn many_small_rows_take_few_blocks() {
        let rows: Vec<Row> =
            (0..10_000).map(|n| (format!("status\0active\0demo:n{n:05}").into_bytes(), vec![])).collect();
        let mut blocks = Vec::new();
        put(&mut blocks, Vec::new(), &rows);
        let bytes: usize = blocks.iter().map(|(key, block)| key.len() + block.as_ref().unwrap().len()).sum();
        assert!(bytes < 8 * rows.len(), "{bytes} bytes");
        assert!(blocks.iter().all(|(_, block)| block.as_ref().unwrap().len() <= BLOCK_MAX));
    }
}
