//! The files `registry.toml` and `policy.toml`, which people write.

use std::path::{Path, PathBuf};

use domain::ports::{SettingsStore, StorageError};

use crate::files::{self, Durability};

/// The files `registry.toml` and `policy.toml` in the data folder.
#[derive(Debug)]
pub struct SettingsFile {
    folder: PathBuf,
    path: PathBuf,
}

impl SettingsFile {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), path: folder.join("registry.toml") }
    }
}

impl SettingsStore for SettingsFile {
    fn folder(&self) -> Option<PathBuf> {
        Some(self.folder.clone())
    }

    fn load_policy(&self) -> Result<(Option<String>, PathBuf), StorageError> {
        load(self.folder.join("policy.toml"))
    }

    fn load(&self) -> Result<(Option<String>, PathBuf), StorageError> {
        load(self.path.clone())
    }

    fn save(&self, text: &str) -> Result<(), StorageError> {
        files::replace(&self.path, text.as_bytes(), Durability::Power)
    }
}

/// Reads the text of a file that may not be there.
fn load(path: PathBuf) -> Result<(Option<String>, PathBuf), StorageError> {
    let Some(bytes) = files::read_if_there(&path)? else { return Ok((None, path)) };
    match String::from_utf8(bytes) {
        Ok(text) => Ok((Some(text), path)),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to() as u64;
            Err(StorageError::NotText { path, offset })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_saved_last() {
        let folder = tempfile::tempdir().unwrap();
        let settings = SettingsFile::new(folder.path());
        assert_eq!(settings.load().unwrap(), (None, folder.path().join("registry.toml")));
        settings.save("a = 1\n").unwrap();
        settings.save("a = 2\n").unwrap();
        assert_eq!(settings.load().unwrap().0.as_deref(), Some("a = 2\n"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
    }

    #[test]
    fn names_the_byte_that_is_not_text() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("registry.toml"), b"abc\xff").unwrap();
        let error = SettingsFile::new(folder.path()).load().unwrap_err();
        assert!(matches!(error, StorageError::NotText { offset: 3, .. }), "{error}");
    }
}
