//! Which folders of the host may be granted.

use std::path::Path;

use domain::entry::Revision;
use domain::text::escape_line;
use domain::{Entry, Grant};

use super::GrantRefusal;
use crate::Registry;

/// Folders that are no files but the host itself: through `/proc/self/mem` a guest would leave its sandbox.
const SYSTEM_FOLDERS: [&str; 3] = ["/proc", "/sys", "/dev"];
/// What below them is memory to be shared.
const SYSTEM_FOLDERS_FREE: [&str; 1] = ["/dev/shm"];

impl Registry {
    /// Returns `grant` as it can be granted: a folder exists, is canonical, and has nothing to do with the registry's own. Blocks.
    pub(crate) fn usable(&self, grant: Grant) -> Result<Grant, GrantRefusal> {
        let Grant::Folder { path, at, mode } = grant else { return Ok(grant) };
        let unreadable = |source| GrantRefusal::Unreadable { path: path.clone().into(), source };
        let found = std::fs::canonicalize(&path).map_err(unreadable)?;
        if !found.is_dir() {
            return Err(GrantRefusal::NotAFolder { path: found });
        }
        self.check_place(&found)?;
        match found.into_os_string().into_string() {
            Ok(path) => Ok(Grant::Folder { path, at, mode }),
            Err(path) => Err(GrantRefusal::NotText { path: path.into() }),
        }
    }
}

impl Registry {
    /// Checks that nobody gets hold of the registry or of the host through a folder, given by its canonical path.
    pub(crate) fn check_place(&self, folder: &Path) -> Result<(), GrantRefusal> {
        let is_system = SYSTEM_FOLDERS.iter().any(|system| folder.starts_with(system));
        if is_system && !SYSTEM_FOLDERS_FREE.iter().any(|free| folder.starts_with(free)) {
            return Err(GrantRefusal::System { path: folder.to_owned() });
        }
        let found = || {
            let own = self.inner.settings_store.folder()?;
            // One that cannot be looked at is compared as it is written.
            Some(std::fs::canonicalize(&own).unwrap_or(own))
        };
        match self.inner.own_folder.get_or_init(found) {
            Some(own) if own.starts_with(folder) || folder.starts_with(own) => {
                let holds = own != folder && own.starts_with(folder);
                Err(GrantRefusal::OwnData { path: folder.to_owned(), holds })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks the folders that `entry` was granted: since then the registry may have come to lie in one of them.
    pub(crate) fn check_places(&self, entry: &Entry) -> Result<(), GrantRefusal> {
        entry.grants.iter().try_for_each(|granted| match &granted.grant {
            Grant::Folder { path, .. } => self.check_place(Path::new(path)),
            Grant::Env { .. } | Grant::Clocks => Ok(()),
        })
    }
}

/// Returns what a revision asks for by `asked`, with a relative path where it is meant.
pub(super) fn absolute(asked: Grant, revision: &Revision) -> Result<Grant, GrantRefusal> {
    located(asked, revision.folder.as_deref().map(Path::new))
}

/// As [`absolute`], with the folder where relative paths begin.
pub(crate) fn located(asked: Grant, base: Option<&Path>) -> Result<Grant, GrantRefusal> {
    match asked {
        Grant::Folder { path, at, mode } if Path::new(&path).is_relative() => {
            let shown = || escape_line(&path).into_owned();
            let base = base.ok_or_else(|| GrantRefusal::NoBase { path: shown() })?;
            let path = base.join(&path).into_os_string().into_string();
            Ok(Grant::Folder { path: path.map_err(|path| GrantRefusal::NotText { path: path.into() })?, at, mode })
        }
        other @ (Grant::Folder { .. } | Grant::Env { .. } | Grant::Clocks) => Ok(other),
    }
}
