//! Compares rows with those that the journal adds up to.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::{ControlFlow, Deref};

use domain::ComponentId;
use domain::ports::StorageError;

use super::apply::apply;
use super::keys;
use super::map::MapRows;
use super::overlay::Overlay;
use super::recover::newest_base;
use super::rows::{Rows, Tree};
use super::sled::{Mark, OpenedSled, SledRows};
use super::snapshot::load_snapshot;
use crate::journal::{self, Head, JournalFolder};
use crate::scratch::Scratch;

/// Largest journal whose rows are made in memory, in bytes; beyond it they are made in a scratch folder.
const MEMORY_BYTES: u64 = 32 << 20;
/// How many changed rows are gathered before they are written.
const CHANGED_ROWS: usize = 20_000;
/// How many rows are read at once.
const PAGE: usize = 512;

/// Key and value of rows, in order.
type Rowset = Vec<Row>;
type Row = (Vec<u8>, Vec<u8>);
/// Reads the next rows of one tree.
type TreePage<'a> = dyn Fn(&[u8]) -> Result<Rowset, StorageError> + 'a;

/// Reads the next rows of a tree with keys of at least the one given.
pub(crate) type Page<'a> = dyn Fn(Tree, &[u8]) -> Result<Rowset, StorageError> + 'a;

/// Rows made from the journal alone, without counters of use.
pub(crate) enum Made {
    /// Few.
    InMemory(MapRows),
    /// Many.
    OnDisk(Box<SledRows>, #[expect(dead_code, reason = "the rows are in it")] Scratch),
}

impl Deref for Made {
    type Target = dyn Rows;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::InMemory(rows) => rows,
            Self::OnDisk(rows, _) => &**rows,
        }
    }
}

impl Made {
    fn change(&self, overlay: &mut Overlay<'_>) -> Result<(), StorageError> {
        let changes = std::mem::take(&mut overlay.changes);
        match self {
            Self::InMemory(rows) => rows.change(&changes)?,
            Self::OnDisk(rows, _) => rows.load(&changes)?,
        }
        Ok(())
    }
}

/// Makes the rows that the newest whole snapshot and the records after it, up to `end`, add up to.
///
/// # Errors
/// [`StorageError::Damaged`] of the journal, and errors of the disk.
pub(crate) fn made_from_journal(journal: &JournalFolder, end: &Mark) -> Result<Made, StorageError> {
    let made = match journal.bytes()? <= MEMORY_BYTES {
        true => Made::InMemory(MapRows::default()),
        false => {
            let scratch = Scratch::new()?;
            match SledRows::open(&scratch.path().join("rows"))? {
                OpenedSled::New(rows) => Made::OnDisk(Box::new(rows), scratch),
                OpenedSled::Whole(..) | OpenedSled::Earlier(..) => {
                    return Err(StorageError::Index { reason: "an empty index has rows".to_owned() });
                }
                OpenedSled::Unfit(reason) => return Err(StorageError::Index { reason }),
            }
        }
    };
    let mut overlay = Overlay::over(&*made);
    let mut base = Mark::default();
    let write_many = |overlay: &mut Overlay<'_>| match overlay.changes.len() >= CHANGED_ROWS {
        true => made.change(overlay),
        false => Ok(()),
    };
    if let Some(seq) = newest_base(journal, end.seq, &mut |_| {})? {
        base = load_snapshot(journal, seq, &BTreeSet::new(), &mut overlay, &mut |overlay| write_many(overlay))?;
    }
    let from = if base.seq == 0 { Head::start() } else { Head { seq: base.seq, hash: base.hash } };
    if from.seq < end.seq {
        journal::replay(journal, &from, end.seq, &mut |record, _| {
            apply(&mut overlay, &record)?;
            write_many(&mut overlay)
        })?;
    }
    made.change(&mut overlay)?;
    drop(overlay);
    Ok(made)
}

/// Reads the next rows of a tree.
pub(crate) fn page(rows: &dyn Rows, tree: Tree, from: &[u8]) -> Result<Rowset, StorageError> {
    let mut found = Vec::new();
    rows.scan(tree, from, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(if found.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// Compares all rows but the counters of use, which are in no record, and returns how many were there. `differs` hears of
/// each difference and says whether to go on.
///
/// # Errors
/// [`StorageError`] if rows cannot be read.
pub(crate) fn compare(
    expected: &dyn Rows,
    actual: &Page<'_>,
    differs: &mut dyn FnMut(String, Option<ComponentId>) -> bool,
) -> Result<u64, StorageError> {
    let mut compared = 0;
    for tree in Tree::ALL.into_iter().filter(|tree| *tree != Tree::Usage) {
        let expected_page = |from: &[u8]| page(expected, tree, from);
        let actual_page = |from: &[u8]| actual(tree, from);
        let (mut wanted, mut found) = (Walk::new(&expected_page), Walk::new(&actual_page));
        loop {
            let (order, key) = match (wanted.peek()?, found.peek()?) {
                (None, None) => break,
                (Some((key, _)), None) => (Ordering::Less, key.clone()),
                (None, Some((key, _))) => (Ordering::Greater, key.clone()),
                (Some((left, _)), Some((right, _))) => (left.cmp(right), left.min(right).clone()),
            };
            let what = match order {
                Ordering::Less => {
                    wanted.next();
                    Some("is missing")
                }
                Ordering::Greater => {
                    compared += 1;
                    found.next();
                    Some("should not be there")
                }
                Ordering::Equal => {
                    compared += 1;
                    (wanted.next() != found.next()).then_some("has another value than the journal says")
                }
            };
            // The index keeps other things there as well.
            let is_ours = tree != Tree::Meta || key.starts_with(keys::CUSTOM_INDEXES);
            if let Some(what) = what.filter(|_| is_ours)
                && !differs(format!("a row of `{}` {what}", tree.name()), component(tree, &key))
            {
                return Ok(compared);
            }
        }
    }
    Ok(compared)
}

/// Says which component a row is about.
fn component(tree: Tree, key: &[u8]) -> Option<ComponentId> {
    let until_zero = |bytes: &[u8]| bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let id = match tree {
        Tree::Entries | Tree::Usage => key.to_vec(),
        Tree::Revisions => until_zero(key),
        Tree::Edges | Tree::Terms => key.rsplit(|byte| *byte == 0).next()?.to_vec(),
        Tree::Failures => match key.split_first()? {
            (b'c', rest) => until_zero(rest),
            (_, rest) => rest.get(8..)?.to_vec(),
        },
        Tree::Meta => return None,
    };
    ComponentId::read(std::str::from_utf8(&id).ok()?).ok()
}

/// Goes through a tree page by page.
struct Walk<'a> {
    page: &'a TreePage<'a>,
    rows: std::vec::IntoIter<Row>,
    next_from: Option<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn new(page: &'a TreePage<'a>) -> Self {
        Self { page, rows: Vec::new().into_iter(), next_from: Some(Vec::new()) }
    }

    fn peek(&mut self) -> Result<Option<&Row>, StorageError> {
        if self.rows.as_slice().is_empty()
            && let Some(from) = self.next_from.take()
        {
            let rows = (self.page)(&from)?;
            self.next_from = rows.last().map(|(key, _)| [key.as_slice(), &[0]].concat());
            self.rows = rows.into_iter();
        }
        Ok(self.rows.as_slice().first())
    }

    fn next(&mut self) -> Option<Row> {
        self.rows.next()
    }
}
