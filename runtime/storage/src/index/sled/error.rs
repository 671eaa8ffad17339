//! What sled says when something is wrong.

use std::any::Any;
use std::path::Path;

use domain::ports::StorageError;

use crate::index::rows::Tree;
use crate::index::view::bad_row;

pub(super) fn failed(folder: &Path, error: sled::Error) -> StorageError {
    match error {
        sled::Error::Io(error) => match StorageError::io(folder, error) {
            StorageError::Io { source, .. } => StorageError::Index { reason: source.to_string() },
            known => known,
        },
        sled::Error::Corruption { .. } => bad_row(Tree::Meta, "sled found its file corrupt"),
        sled::Error::ReportableBug(_) | sled::Error::Unsupported(_) | sled::Error::CollectionNotFound(_) => {
            StorageError::Index { reason: error.to_string() }
        }
    }
}

pub(super) fn panicked(panic: &(dyn Any + Send)) -> StorageError {
    StorageError::Index { reason: format!("sled panicked: {}", panic_text(panic)) }
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    domain::text::escape_line(&domain::text::truncate(text.unwrap_or("no message"), 200)).into_owned()
}
