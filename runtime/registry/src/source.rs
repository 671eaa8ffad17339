//! Where a component comes from: reads its bytes and its manifest.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::manifest::ComponentManifest;
use domain::{ComponentId, Timestamp};

use crate::error::RegistryError;

/// Largest component, in bytes: 64 MiB.
pub(crate) const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// Largest component in text form, in bytes: its parser takes time that grows with the square of what it reads.
const TEXT_BYTES_MAX: u64 = 2 << 20;
/// Largest manifest, in bytes.
const MANIFEST_BYTES_MAX: u64 = 64 << 10;
/// The component manifest's file name.
pub(crate) const MANIFEST_FILE: &str = "component.toml";

/// Where a component's bytes come from.
#[derive(Clone, Debug)]
pub enum ComponentSource {
    /// A `.wasm` or `.wat` file, or a folder with a `component.toml`.
    Path(PathBuf),
    /// Bytes in memory.
    Bytes {
        /// A component binary or its text form.
        bytes: Arc<[u8]>,
        /// A name for messages; its stem names a component that does not name itself.
        name: String,
    },
}

/// Where a component's manifest comes from, if not from beside its bytes.
#[derive(Clone, Debug)]
pub enum ManifestSource {
    /// A file.
    File(PathBuf),
    /// A manifest made by the program.
    Given(Box<ComponentManifest>),
}

/// Bytes and manifest as they were read.
pub(crate) struct Loaded {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) manifest: ComponentManifest,
    /// For messages.
    pub(crate) name: String,
    /// The file that holds the bytes, absolute.
    pub(crate) path: Option<PathBuf>,
    /// The folder where relative paths of the manifest begin, canonical: that of the manifest's own file.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) last_modified: Option<Timestamp>,
    /// The id for a component that does not name itself.
    pub(crate) fallback_id: ComponentId,
}

/// Reads what `source` and `manifest` name. Blocks on the disk.
pub(crate) fn load(source: &ComponentSource, manifest: Option<&ManifestSource>) -> Result<Loaded, RegistryError> {
    match source {
        ComponentSource::Bytes { bytes, name } => {
            check_size(bytes.len() as u64, Path::new(name))?;
            check_text(bytes, Path::new(name))?;
            let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
            Ok(Loaded {
                bytes: bytes.clone(),
                manifest: read_manifest_source(manifest)?.unwrap_or_default(),
                name: name.clone(),
                path: None,
                folder: manifest_folder(manifest, None),
                last_modified: None,
                fallback_id: ComponentId::from_file_stem(&stem),
            })
        }
        ComponentSource::Path(path) => load_path(path, manifest),
    }
}

fn load_path(path: &Path, manifest: Option<&ManifestSource>) -> Result<Loaded, RegistryError> {
    let metadata = stat(path)?;
    let folder = manifest_folder(manifest, metadata.is_dir().then_some(path));
    let given = read_manifest_source(manifest)?;
    let (file, manifest) = if metadata.is_dir() {
        let manifest = match given {
            Some(manifest) => manifest,
            None if !path.join(MANIFEST_FILE).exists() => {
                return Err(RegistryError::BadPath {
                    path: path.to_owned(),
                    reason: format!("the folder has no {MANIFEST_FILE}"),
                    hint: "name a `.wasm` or `.wat` file, or write a component.toml beside it".to_owned(),
                });
            }
            None => read_manifest(&path.join(MANIFEST_FILE))?,
        };
        (wasm_file(path, &manifest)?, manifest)
    } else {
        (path.to_owned(), given.unwrap_or_default())
    };
    let metadata = stat(&file)?;
    let bytes = read_component(&file)?;
    check_text(&bytes, &file)?;
    let file = fs::canonicalize(&file).map_err(|source| RegistryError::Read { path: file.clone(), source })?;
    Ok(Loaded {
        fallback_id: ComponentId::from_file_stem(&file.file_stem().unwrap_or_default().to_string_lossy()),
        name: file.display().to_string(),
        last_modified: metadata.modified().ok().and_then(timestamp),
        bytes,
        manifest,
        path: Some(file),
        folder,
    })
}

/// Returns the folder of the manifest's file; `beside` is the folder that has a manifest of its own.
fn manifest_folder(manifest: Option<&ManifestSource>, beside: Option<&Path>) -> Option<PathBuf> {
    let folder = match manifest {
        None => beside?,
        Some(ManifestSource::Given(_)) => return None,
        Some(ManifestSource::File(file)) => match file.parent()? {
            parent if parent.as_os_str().is_empty() => Path::new("."),
            parent => parent,
        },
    };
    fs::canonicalize(folder).ok()
}

fn timestamp(time: std::time::SystemTime) -> Option<Timestamp> {
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(i64::try_from(since.as_micros()).ok()?))
}

pub(crate) fn stat(path: &Path) -> Result<fs::Metadata, RegistryError> {
    fs::metadata(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => RegistryError::NoSuchPath { path: path.to_owned() },
        _ => RegistryError::Read { path: path.to_owned(), source },
    })
}

fn check_size(size: u64, path: &Path) -> Result<(), RegistryError> {
    if size <= COMPONENT_BYTES_MAX {
        return Ok(());
    }
    Err(RegistryError::BadPath {
        path: path.to_owned(),
        reason: format!("the file has {size} bytes, a component may have {} MiB", COMPONENT_BYTES_MAX >> 20),
        hint: "strip debug information (`wasm-tools strip`) or split the component".to_owned(),
    })
}

/// Refuses long text, which is recognised by what a binary begins with.
fn check_text(bytes: &[u8], path: &Path) -> Result<(), RegistryError> {
    if bytes.starts_with(b"\0asm") || bytes.len() as u64 <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(RegistryError::BadPath {
        path: path.to_owned(),
        reason: format!("not a binary, and as text it may have {} MiB at most", TEXT_BYTES_MAX >> 20),
        hint: "turn the text into a binary first (`wasm-tools parse`)".to_owned(),
    })
}

/// Reads a component to where it stays: a large one is never in memory twice.
fn read_component(path: &Path) -> Result<Arc<[u8]>, RegistryError> {
    let failed = |source| RegistryError::Read { path: path.to_owned(), source };
    let length = bounded_length(path)?;
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, length as usize).collect();
    let mut file = fs::File::open(path).map_err(failed)?;
    if let Some(room) = Arc::get_mut(&mut bytes) {
        file.read_exact(room).map_err(failed)?;
    }
    match file.read(&mut [0]).map_err(failed)? {
        0 => Ok(bytes),
        _ => Err(failed(std::io::Error::other("it became longer while it was read"))),
    }
}

/// Reads a file of at most `max` bytes.
fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, RegistryError> {
    let failed = |source| RegistryError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::with_capacity(bounded_length(path)? as usize);
    fs::File::open(path).map_err(failed)?.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    // The file may have grown since it was measured.
    check_size(bytes.len() as u64, path)?;
    Ok(bytes)
}

/// Returns the length of a file that is no longer than a component may be. What is not a regular file is refused: a pipe or device could go on for ever.
fn bounded_length(path: &Path) -> Result<u64, RegistryError> {
    let metadata = stat(path)?;
    if !metadata.is_file() {
        return Err(RegistryError::BadPath {
            path: path.to_owned(),
            reason: "not a regular file".to_owned(),
            hint: "give a `.wasm` or `.wat` file, or a folder with a `component.toml`".to_owned(),
        });
    }
    check_size(metadata.len(), path)?;
    Ok(metadata.len())
}

fn read_manifest_source(source: Option<&ManifestSource>) -> Result<Option<ComponentManifest>, RegistryError> {
    match source {
        None => Ok(None),
        Some(ManifestSource::Given(manifest)) => Ok(Some((**manifest).clone())),
        Some(ManifestSource::File(path)) => read_manifest(path).map(Some),
    }
}

/// Reads and checks a component manifest.
pub(crate) fn read_manifest(path: &Path) -> Result<ComponentManifest, RegistryError> {
    let metadata = stat(path)?;
    if metadata.is_file() && metadata.len() > MANIFEST_BYTES_MAX {
        return Err(RegistryError::BadPath {
            path: path.to_owned(),
            reason: format!("the manifest has {} bytes, it may have {MANIFEST_BYTES_MAX}", metadata.len()),
            hint: "keep data in files of the component's own".to_owned(),
        });
    }
    let text = String::from_utf8(read_bounded(path, MANIFEST_BYTES_MAX)?).map_err(|error| RegistryError::BadPath {
        path: path.to_owned(),
        reason: format!("not UTF-8 text at byte {}", error.utf8_error().valid_up_to()),
        hint: "a component manifest is TOML".to_owned(),
    })?;
    ComponentManifest::parse(&text).map_err(|source| RegistryError::Manifest { path: path.to_owned(), source })
}

/// Returns the file that the manifest of `folder` means.
fn wasm_file(folder: &Path, manifest: &ComponentManifest) -> Result<PathBuf, RegistryError> {
    let named = manifest.wasm.as_ref().or(manifest.build.as_ref().and_then(|build| build.output.as_ref()));
    if let Some(named) = named {
        let file = folder.join(named);
        if file.is_file() {
            return Ok(file);
        }
        let hint = match &manifest.build {
            Some(build) => format!("build it first: `{}` in that folder", build.command),
            None => "correct `wasm` in its component.toml".to_owned(),
        };
        return Err(RegistryError::BadPath {
            path: folder.to_owned(),
            reason: format!("its manifest names `{named}`, which does not exist"),
            hint,
        });
    }
    let mut files: Vec<_> = children(folder)?.into_iter().filter(|path| is_component_file(path)).collect();
    match (files.pop(), files.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(RegistryError::BadPath {
            path: folder.to_owned(),
            reason: "the folder has a component.toml but no `.wasm` or `.wat` file".to_owned(),
            hint: "name the file with `wasm = \"…\"`, or say how it is built with `[build]`".to_owned(),
        }),
        (Some(_), more) => Err(RegistryError::BadPath {
            path: folder.to_owned(),
            reason: format!("the folder has {} component files and its manifest does not choose", more + 1),
            hint: "name one with `wasm = \"…\"` in its component.toml".to_owned(),
        }),
    }
}

/// Returns what is in `folder`, ordered by name.
pub(crate) fn children(folder: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let failed = |source| RegistryError::Read { path: folder.to_owned(), source };
    let mut children = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        children.push(entry.map_err(failed)?.path());
    }
    children.sort();
    Ok(children)
}

/// Tells by its ending whether a file may be a component.
pub(crate) fn is_component_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "wasm" || ending == "wat") && path.is_file()
}
