use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use domain::ports::{ArchivedComponents, BackupError, BlobStore, BytesProgress, StorageError};
use domain::{Digest, Timestamp};

use super::list::{LIST, LIST_BYTES_MAX, List, Listed, ListedRegistry};
use super::{FORMAT, KIND, SETTINGS, names};
use crate::archive::{self, Reader, Writer, sealed};
use crate::backup::Watch;
use crate::blobs::FileBlobs;
use crate::files;

/// Writes `archived` to the archive at `path` and returns its size.
pub(crate) fn write(
    blobs: &FileBlobs,
    now: Timestamp,
    path: &Path,
    archived: &ArchivedComponents,
    watch: Watch<'_>,
) -> Result<u64, BackupError> {
    check_place(path)?;
    let written = files::replace_with(path, |partial, file| write_new(blobs, now, (partial, file), archived, watch));
    written.map_err(|error| match error {
        BackupError::NotABackup { reason, .. } => BackupError::NotABackup { path: path.to_owned(), reason },
        other => other,
    })
}

/// Checks that nothing but such an archive is written over.
fn check_place(path: &Path) -> Result<(), BackupError> {
    let Some(file) = archive::there(path)? else { return Ok(()) };
    let list = Reader::new(file).first(LIST, LIST_BYTES_MAX).ok().and_then(|list| List::read(&list, path).ok());
    list.map(drop).ok_or_else(|| archive::wrong(path, "a file that is no archive of components is not written over"))
}

fn write_new(
    blobs: &FileBlobs,
    now: Timestamp,
    (partial, file): (&Path, File),
    archived: &ArchivedComponents,
    watch: Watch<'_>,
) -> Result<(u64, File), BackupError> {
    let components = &archived.components;
    let (list, texts) = list(now, partial, archived)?;
    let unwritable = |error: serde_json::Error| StorageError::io(partial, error.into());
    let list = serde_json::to_vec(&list).map(sealed::seal).map_err(unwritable)?;
    let mtime = u64::try_from(now.as_micros() / 1_000_000).unwrap_or(0);
    let mut archive = Writer::new(BufWriter::with_capacity(256 << 10, file), mtime);
    let mut put =
        |name: &str, bytes: &[u8]| archive.file(name, bytes.len() as u64, &mut &*bytes).map_err(files::at(partial));
    put(LIST, &list)?;
    if let Some(registry) = &archived.registry {
        put(SETTINGS, registry.settings.as_bytes())?;
    }
    let mut said = BytesProgress { done: 0, total: components.iter().map(|component| component.size).sum() };
    for (at, (component, text)) in components.iter().zip(&texts).enumerate() {
        watch.stop.check()?;
        let (manifest_name, name) = names(at);
        put(&manifest_name, text.as_bytes())?;
        put(&name, &blobs.get(&component.digest)?)?;
        said.done += component.size;
        (watch.progress)(said);
    }
    let out = archive.finish().map_err(files::at(partial))?;
    let file = out.into_inner().map_err(|error| StorageError::io(partial, error.into_error()))?;
    let size = file.metadata().map_err(files::at(partial))?.len();
    Ok((size, file))
}

/// Makes the list, and the text of each manifest.
fn list(now: Timestamp, path: &Path, archived: &ArchivedComponents) -> Result<(List, Vec<String>), BackupError> {
    let mut listed = Vec::with_capacity(archived.components.len());
    let mut texts = Vec::with_capacity(archived.components.len());
    for component in &archived.components {
        let text = component.manifest.to_toml().ok_or_else(|| BackupError::NotABackup {
            path: path.to_owned(),
            reason: format!("the manifest of `{}` has values that a component.toml cannot hold", component.id),
        })?;
        listed.push(Listed::new(component, &text));
        texts.push(text);
    }
    let registry = archived.registry.as_ref().map(|registry| ListedRegistry {
        indexes: registry.indexes.clone(),
        settings_size: registry.settings.len() as u64,
        settings_digest: Digest::of(registry.settings.as_bytes()),
    });
    Ok((List { format: FORMAT, kind: KIND.to_owned(), created_at: now, components: listed, registry }, texts))
}
