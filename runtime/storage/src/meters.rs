//! How far quotas are used up, between processes: the file `quotas.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::ports::{MeterStore, StorageError};
use domain::quota::Meter;

use crate::files::{self, Durability};

/// The file `quotas.json` in the data folder: an object of components and namespaces that have used up a part of their rates.
///
/// It is soft state: what cannot be read counts as nothing used.
#[derive(Debug)]
pub struct MeterFile {
    path: PathBuf,
}

impl MeterFile {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join("quotas.json") }
    }
}

impl MeterStore for MeterFile {
    fn load(&self) -> BTreeMap<String, Meter> {
        let bytes = files::read_if_there(&self.path).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn save(&self, meters: &BTreeMap<String, Meter>) -> Result<(), StorageError> {
        let text = serde_json::to_vec(meters).map_err(|error| StorageError::io(&self.path, error.into()))?;
        files::replace(&self.path, &text, Durability::Process)
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use domain::quota::Quota;

    use super::*;

    #[test]
    fn gives_back_what_was_saved_and_begins_anew_where_that_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let file = MeterFile::new(folder.path());
        assert!(file.load().is_empty());
        let mut meter = Meter::default();
        let quota = Quota { calls_per_second: Some(1), ..Quota::default() };
        meter.begin(&quota, Timestamp::from_micros(5)).unwrap();
        let meters = BTreeMap::from([("demo:log".to_owned(), meter)]);
        file.save(&meters).unwrap();
        assert_eq!(MeterFile::new(folder.path()).load(), meters);
        std::fs::write(folder.path().join("quotas.json"), b"{\"demo").unwrap();
        assert!(file.load().is_empty());
    }
}
