//! The state that the journal's events add up to, as rows of a few fixed trees.
//!
//! Everything here works on [`Rows`]: on sled, on a map in memory, or on changes laid over either of them. So the committer, a
//! replay after a crash and the store without a disk run the same code.

mod apply;
mod blocks;
mod compare;
mod frozen;
mod head;
mod image;
mod keys;
mod layered;
mod look;
mod map;
mod overlay;
mod pack;
mod packed;
mod recover;
mod reopen;
mod room;
mod rows;
mod sled;
mod snapshot;
mod totals;
mod untouched;
mod usage_file;
mod view;

pub(crate) use apply::{add_usage, apply};
pub(crate) use compare::{Page, compare, made_from_journal, page};
pub(crate) use frozen::Frozen;
pub(crate) use layered::Index;
pub(crate) use look::{Looked, look};
pub(crate) use map::MapRows;
pub(crate) use overlay::{Changes, Overlay};
pub(crate) use pack::{Slack, pack_closed};
pub(crate) use recover::recover;
#[cfg(test)]
pub(crate) use room::{Before, UNSEEN};
pub(crate) use rows::Rows;
pub(crate) use sled::Mark;
pub(crate) use snapshot::{check_snapshot, write_snapshot};
pub(crate) use untouched::remember;
pub(crate) use view::RowsView;
