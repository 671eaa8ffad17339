//! Archives of components: what one registry hands to another.
//!
//! A plain tar: a manifest that lists every component with the digests of its bytes and of its `component.toml`, then both files of
//! each component, dependencies first.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::path::Path;
use std::sync::Arc;

use domain::manifest::{ComponentManifest, Kind, MANIFEST_BYTES_MAX};
use domain::ports::{ArchivedComponent, BackupError, BlobStore, BytesProgress, StorageError};
use domain::{ComponentId, Digest, Timestamp, Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::archive::{Fault, Reader, Writer, sealed};
use crate::backup::damaged;
use crate::blobs::FileBlobs;
use crate::files;

/// Format of these archives; a reader refuses those of a later one.
const FORMAT: u32 = 1;
const KIND: &str = "runtime-components";
/// Name of the list in an archive.
const LIST: &str = "manifest.json";
/// Largest list that is read, in bytes.
const LIST_BYTES_MAX: u64 = 64 << 20;
/// Largest component that is read, in bytes.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
struct List {
    format: u32,
    kind: String,
    created_at: Timestamp,
    components: Vec<Listed>,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    id: ComponentId,
    version: Version,
    kind: Kind,
    size: u64,
    digest: Digest,
    manifest_size: u64,
    manifest_digest: Digest,
    /// Dependencies that an operator declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    declared: Vec<Declared>,
}

#[derive(Serialize, Deserialize)]
struct Declared {
    on: ComponentId,
    range: VersionReq,
}

impl List {
    fn read(bytes: &[u8], path: &Path) -> Result<Self, BackupError> {
        /// What must stay the same in every later format.
        #[derive(Deserialize)]
        struct Known {
            format: u32,
            kind: String,
        }
        let wrong = |reason: String| damaged(path, LIST, reason);
        sealed::check(bytes).map_err(|reason| wrong(reason.to_owned()))?;
        let known: Known = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if known.kind != KIND {
            let reason = "it is no archive of components".to_owned();
            return Err(BackupError::NotABackup { path: path.to_owned(), reason });
        }
        if known.format > FORMAT {
            let newer = StorageError::NewerFormat { what: "archive of components", found: known.format, known: FORMAT };
            return Err(newer.into());
        }
        let list: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        for listed in &list.components {
            if listed.size > COMPONENT_BYTES_MAX || listed.manifest_size > MANIFEST_BYTES_MAX as u64 {
                return Err(wrong(format!("`{}` is larger than a component may be", listed.id)));
            }
        }
        Ok(list)
    }
}

/// Returns the names of manifest and bytes of the component in place `at`.
fn names(at: usize) -> (String, String) {
    (format!("components/{at:06}/component.toml"), format!("components/{at:06}/component.wasm"))
}

/// Writes `components` to the archive at `path` and returns its size.
pub(crate) fn write(
    blobs: &FileBlobs,
    now: Timestamp,
    path: &Path,
    components: &[ArchivedComponent],
    progress: &mut dyn FnMut(BytesProgress),
) -> Result<u64, BackupError> {
    check_place(path)?;
    let written = files::replace_with(path, |partial, file| write_new(blobs, now, partial, file, components, progress));
    written.map_err(|error| match error {
        BackupError::NotABackup { reason, .. } => BackupError::NotABackup { path: path.to_owned(), reason },
        other => other,
    })
}

/// Checks that nothing but such an archive is written over.
fn check_place(path: &Path) -> Result<(), BackupError> {
    let wrong = |reason: &str| BackupError::NotABackup { path: path.to_owned(), reason: reason.to_owned() };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StorageError::io(path, error).into()),
        Ok(there) if !there.is_file() => Err(wrong("it is not a plain file")),
        Ok(_) => {
            let list = Reader::new(File::open(path).map_err(files::at(path))?).first(LIST, LIST_BYTES_MAX);
            let list = list.ok().and_then(|list| List::read(&list, path).ok());
            list.map(drop).ok_or_else(|| wrong("a file that is no archive of components is not written over"))
        }
    }
}

fn write_new(
    blobs: &FileBlobs,
    now: Timestamp,
    partial: &Path,
    file: File,
    components: &[ArchivedComponent],
    progress: &mut dyn FnMut(BytesProgress),
) -> Result<(u64, File), BackupError> {
    let mut listed = Vec::with_capacity(components.len());
    let mut texts = Vec::with_capacity(components.len());
    for component in components {
        let text = component.manifest.to_toml().ok_or_else(|| BackupError::NotABackup {
            path: partial.to_owned(),
            reason: format!("the manifest of `{}` has values that a component.toml cannot hold", component.id),
        })?;
        listed.push(Listed {
            id: component.id.clone(),
            version: component.version.clone(),
            kind: component.kind.clone(),
            size: component.size,
            digest: component.digest,
            manifest_size: text.len() as u64,
            manifest_digest: Digest::of(text.as_bytes()),
            declared: (component.declared.iter())
                .map(|(on, range)| Declared { on: on.clone(), range: range.clone() })
                .collect(),
        });
        texts.push(text);
    }
    let list = List { format: FORMAT, kind: KIND.to_owned(), created_at: now, components: listed };
    let unwritable = |error: serde_json::Error| StorageError::io(partial, error.into());
    let list = serde_json::to_vec(&list).map(sealed::seal).map_err(unwritable)?;
    let mtime = u64::try_from(now.as_micros() / 1_000_000).unwrap_or(0);
    let mut archive = Writer::new(BufWriter::with_capacity(256 << 10, file), mtime);
    let mut put =
        |name: &str, bytes: &[u8]| archive.file(name, bytes.len() as u64, &mut &*bytes).map_err(files::at(partial));
    put(LIST, &list)?;
    let mut said = BytesProgress { done: 0, total: components.iter().map(|component| component.size).sum() };
    for (at, (component, text)) in components.iter().zip(&texts).enumerate() {
        let (manifest_name, name) = names(at);
        put(&manifest_name, text.as_bytes())?;
        put(&name, &blobs.get(&component.digest)?)?;
        said.done += component.size;
        progress(said);
    }
    let out = archive.finish().map_err(files::at(partial))?;
    let file = out.into_inner().map_err(|error| StorageError::io(partial, error.into_error()))?;
    let size = file.metadata().map_err(files::at(partial))?.len();
    Ok((size, file))
}

/// Checks all of the archive at `path`, then hands its components to `take` until that returns `false`.
pub(crate) fn read(
    path: &Path,
    take: &mut dyn FnMut(ArchivedComponent, usize, Arc<[u8]>) -> bool,
) -> Result<(), BackupError> {
    let not_one = |reason: &str| BackupError::NotABackup { path: path.to_owned(), reason: reason.to_owned() };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(not_one("there is no such file")),
        Err(error) => return Err(StorageError::io(path, error).into()),
        Ok(there) if !there.is_file() => return Err(not_one("it is not a plain file")),
        Ok(_) => {}
    }
    // Nothing is handed out before all of it is known to be good.
    read_once(path, &mut |_, _, _| true)?;
    read_once(path, take)
}

fn read_once(
    path: &Path,
    take: &mut dyn FnMut(ArchivedComponent, usize, Arc<[u8]>) -> bool,
) -> Result<(), BackupError> {
    let faulty = |fault: Fault| damaged(path, &fault.place, fault.reason);
    let file = File::open(path).map_err(files::at(path))?;
    let mut archive = Reader::new(BufReader::with_capacity(256 << 10, file));
    let list = List::read(&archive.first(LIST, LIST_BYTES_MAX).map_err(faulty)?, path)?;
    let count = list.components.len();
    for (at, listed) in list.components.into_iter().enumerate() {
        let (manifest_name, name) = names(at);
        let text = file_bytes(&mut archive, &manifest_name, listed.manifest_size, &listed.manifest_digest);
        let manifest =
            manifest(&text.map_err(faulty)?, &listed).map_err(|reason| damaged(path, &manifest_name, reason))?;
        let bytes = file_bytes(&mut archive, &name, listed.size, &listed.digest).map_err(faulty)?;
        let component = ArchivedComponent {
            id: listed.id,
            version: listed.version,
            kind: listed.kind,
            digest: listed.digest,
            size: listed.size,
            manifest,
            declared: listed.declared.into_iter().map(|declared| (declared.on, declared.range)).collect(),
        };
        if !take(component, count, bytes.into()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes an archive of one component whose list was changed by `change`.
    fn archive(folder: &Path, text: &str, change: impl FnOnce(&mut serde_json::Value)) -> std::path::PathBuf {
        let bytes = b"some bytes";
        let mut list = serde_json::json!({
            "format": FORMAT,
            "kind": KIND,
            "created_at": Timestamp::default(),
            "components": [{
                "id": "demo:a",
                "version": "1.0.0",
                "kind": "component",
                "size": bytes.len(),
                "digest": Digest::of(bytes),
                "manifest_size": text.len(),
                "manifest_digest": Digest::of(text.as_bytes()),
            }],
        });
        change(&mut list);
        let list = sealed::seal(serde_json::to_vec(&list).unwrap());
        let path = folder.join("archive.tar");
        let mut archive = Writer::new(File::create(&path).unwrap(), 0);
        archive.file(LIST, list.len() as u64, &mut &list[..]).unwrap();
        let (manifest_name, name) = names(0);
        archive.file(&manifest_name, text.len() as u64, &mut text.as_bytes()).unwrap();
        archive.file(&name, bytes.len() as u64, &mut &bytes[..]).unwrap();
        archive.finish().unwrap();
        path
    }

    fn refused(path: &Path) -> BackupError {
        read(path, &mut |_, _, _| panic!("something was handed out")).unwrap_err()
    }

    #[test]
    fn hostile_lists_and_manifests_are_refused_before_anything_is_handed_out() {
        let folder = tempfile::tempdir().unwrap();
        let good = "id = \"demo:a\"\nversion = \"1.0.0\"\n";
        let mut taken = Vec::new();
        read(&archive(folder.path(), good, |_| {}), &mut |component, count, bytes| {
            taken.push((component.id.to_string(), count, bytes.len()));
            true
        })
        .unwrap();
        assert_eq!(taken, [("demo:a".to_owned(), 1, 10)]);
        for text in [
            "",
            "id = \"demo:b\"\nversion = \"1.0.0\"\n",
            "id = \"demo:a\"\nversion = \"1.0.1\"\n",
            "id = \"demo:a\"\nversion = \"1.0.0\"\nkind = \"skill\"\n",
            "id = \"demo:a\"\nversion = \"1.0.0\"\nunknown = 1\n",
            "[[[",
        ] {
            let error = refused(&archive(folder.path(), text, |_| {}));
            assert!(
                matches!(&error, BackupError::Damaged { place, .. } if place.ends_with("component.toml")),
                "{error}"
            );
        }
        type Change = fn(&mut serde_json::Value);
        let changes: [Change; 7] = [
            |list| list["components"][0]["id"] = "../../etc".into(),
            |list| list["components"][0]["size"] = u64::MAX.into(),
            |list| list["components"][0]["size"] = (1_u64 << 40).into(),
            |list| list["components"][0]["size"] = 9.into(),
            |list| list["components"][0]["manifest_size"] = (1_u64 << 30).into(),
            |list| list["components"][0]["digest"] = Digest::of(b"other").to_string().into(),
            |list| list["components"] = serde_json::json!([]),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let error = refused(&archive(folder.path(), good, change));
            assert!(matches!(&error, BackupError::Damaged { .. }), "{at}: {error}");
        }
        assert!(matches!(refused(&folder.path().join("nothing")), BackupError::NotABackup { .. }));
        let later = archive(folder.path(), good, |list| list["format"] = 2.into());
        assert!(matches!(refused(&later), BackupError::Storage(StorageError::NewerFormat { found: 2, .. })));
    }
}
