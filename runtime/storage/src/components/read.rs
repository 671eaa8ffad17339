use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use domain::Digest;
use domain::manifest::ComponentManifest;
use domain::ports::{ArchivePart, ArchivedRegistry, BackupError, Stop, StorageError};
use domain::settings::Settings;

use super::list::{LIST, LIST_BYTES_MAX, List, Listed, ListedRegistry};
use super::{SETTINGS, names};
use crate::archive::{Fault, Reader};
use crate::backup::damaged;
use crate::files;

/// Checks all of the archive at `path`, then hands its parts to `take` until that returns `false`.
pub(crate) fn read(path: &Path, take: &mut dyn FnMut(ArchivePart) -> bool, stop: &Stop) -> Result<(), BackupError> {
    let not_one = |reason: &str| BackupError::NotABackup { path: path.to_owned(), reason: reason.to_owned() };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(not_one("there is no such file")),
        Err(error) => return Err(StorageError::io(path, error).into()),
        Ok(there) if !there.is_file() => return Err(not_one("it is not a plain file")),
        Ok(_) => {}
    }
    // Nothing is handed out before all of it is known to be good.
    read_once(path, &mut |_| !stop.is_set())?;
    stop.check()?;
    read_once(path, take)
}

fn read_once(path: &Path, take: &mut dyn FnMut(ArchivePart) -> bool) -> Result<(), BackupError> {
    let faulty = |fault: Fault| damaged(path, &fault.place, fault.reason);
    let file = File::open(path).map_err(files::at(path))?;
    let mut archive = Reader::new(BufReader::with_capacity(256 << 10, file));
    let list = List::read(&archive.first(LIST, LIST_BYTES_MAX).map_err(faulty)?, path)?;
    let registry = list.registry.map(|listed| registry(&mut archive, listed)).transpose().map_err(faulty)?;
    if !take(ArchivePart::Contents { components: list.components.len(), registry }) {
        return Ok(());
    }
    for (at, listed) in list.components.into_iter().enumerate() {
        let (manifest_name, name) = names(at);
        let text = file_bytes(&mut archive, &manifest_name, listed.manifest_size, &listed.manifest_digest);
        let manifest =
            manifest(&text.map_err(faulty)?, &listed).map_err(|reason| damaged(path, &manifest_name, reason))?;
        let bytes = file_bytes(&mut archive, &name, listed.size, &listed.digest).map_err(faulty)?;
        if !take(ArchivePart::Component(Box::new(listed.component(manifest)), bytes.into())) {
            return Ok(());
        }
    }
    archive.finish().map_err(faulty)
}

/// Reads the next file, whose size was bounded when the list was read.
fn file_bytes(archive: &mut Reader<impl Read>, name: &str, size: u64, digest: &Digest) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    archive.file(name, size)?.read_to_end(&mut bytes).map_err(|error| Fault::of(name, error))?;
    if bytes.len() as u64 != size {
        return Err(Fault::of(name, "the archive is cut"));
    }
    if Digest::of(&bytes) != *digest {
        return Err(Fault::of(name, "its bytes do not have the digest that is listed"));
    }
    archive.end_file(name, size)?;
    Ok(bytes)
}

/// Reads what belongs to the registry as a whole. The settings must be such that a registry can be opened with them.
fn registry(archive: &mut Reader<impl Read>, listed: ListedRegistry) -> Result<ArchivedRegistry, Fault> {
    let bytes = file_bytes(archive, SETTINGS, listed.settings_size, &listed.settings_digest)?;
    let settings = String::from_utf8(bytes).map_err(|error| Fault::of(SETTINGS, error))?;
    Settings::parse(&settings).map_err(|error| Fault::of(SETTINGS, error))?;
    Ok(ArchivedRegistry { indexes: listed.indexes, settings })
}

fn manifest(text: &[u8], listed: &Listed) -> Result<ComponentManifest, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let manifest = ComponentManifest::parse(text).map_err(|error| error.to_string())?;
    let is_listed = manifest.id.as_ref() == Some(&listed.id)
        && manifest.version.as_ref() == Some(&listed.version)
        && manifest.kind() == listed.kind;
    if !is_listed {
        return Err("it is of another component than the list says".to_owned());
    }
    Ok(manifest)
}
