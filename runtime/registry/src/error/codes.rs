//! Codes of the errors that come from elsewhere.

use domain::failure::Phase;
use domain::ports::{BackupError, EngineError, StorageError};

pub(super) fn of_call(error: &EngineError) -> &'static str {
    match error {
        EngineError::NotAComponent { .. } => "invalid-component",
        EngineError::Unsupported { .. } => "unsupported-feature",
        EngineError::UnknownFunction { .. } => "function-not-found",
        EngineError::AmbiguousFunction { .. } => "ambiguous-function",
        EngineError::BadArguments { .. } => "invalid-arguments",
        EngineError::Unusable { .. } => "engine-unusable",
        EngineError::CannotCompose { .. } => "cannot-fuse",
        EngineError::Replaced(_) => "changed",
        EngineError::Failed(failure) => match failure.phase {
            Phase::Call => "component-failed",
            _ => "component-activation",
        },
    }
}

pub(super) fn of_backup(error: &BackupError) -> &'static str {
    match error {
        BackupError::NotABackup { .. } => "not-a-backup",
        BackupError::Damaged { .. } => "damaged-backup",
        BackupError::NotEmpty { .. } => "folder-not-empty",
        BackupError::NotADataFolder { .. } => "not-a-data-folder",
        BackupError::Storage(error) => of_storage(error),
    }
}

pub(super) fn of_storage(error: &StorageError) -> &'static str {
    match error {
        StorageError::Full { .. } => "disk-full",
        StorageError::ReadOnly { .. } => "read-only",
        StorageError::Denied { .. } => "data-folder-denied",
        StorageError::NotAFolder { .. } => "data-folder-invalid",
        StorageError::Held { .. } => "data-folder-held",
        StorageError::NewerFormat { .. } => "newer-format",
        StorageError::Damaged { .. } => "damaged",
        StorageError::NotText { .. } => "invalid-setting",
        StorageError::MissingBlob { .. } => "missing-blob",
        StorageError::Index { .. } => "index",
        StorageError::Closed => "closed",
        StorageError::Defect { .. } => "internal",
        StorageError::BrokenOff => "broken-off",
        StorageError::Io { .. } => "io",
    }
}
