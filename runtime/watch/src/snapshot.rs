//! What a component looks like at one moment, and what has to be done if it looks otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use domain::manifest::{BuildSettings, MANIFEST_BYTES_MAX};
use domain::{ComponentManifest, Digest};

use crate::sources::{FileDigests, Walk, WalkError};

/// The component manifest's file name.
pub(crate) const MANIFEST_FILE: &str = "component.toml";

/// A component file, or a component's folder.
pub(crate) struct Place {
    path: PathBuf,
    digests: FileDigests,
}

/// What is at a place at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The id that the manifest gives it.
    pub(crate) id: Option<String>,
    /// How it is built.
    pub(crate) build: Option<BuildSettings>,
    /// Of the manifest's bytes.
    pub(crate) manifest: Option<Digest>,
    /// What it is built from, by path.
    pub(crate) sources: Option<Arc<BTreeMap<PathBuf, Digest>>>,
    /// When the newest source was changed.
    pub(crate) newest: Option<SystemTime>,
    /// Of the component itself.
    pub(crate) made: Option<Digest>,
    /// When the component itself was changed.
    pub(crate) made_at: Option<SystemTime>,
    /// The files that may be the component itself.
    pub(crate) outputs: Vec<PathBuf>,
    /// What lies elsewhere and is built from as well.
    pub(crate) inputs: Vec<PathBuf>,
    /// The folders in which a change would show.
    pub(crate) folders: Vec<PathBuf>,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// It has to be built.
    Build,
    /// It has to be registered as it is.
    Place,
}

impl Place {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, digests: FileDigests::default() }
    }

    /// Has a file read again however it looks.
    pub(crate) fn forget(&mut self, path: &Path) {
        self.digests.forget(path);
    }

    /// Looks at the component; `None` if it is gone. Blocks on the disk.
    ///
    /// # Errors
    /// [`WalkError`].
    pub(crate) fn look(&mut self) -> Result<Option<Snapshot>, WalkError> {
        let path = self.path.clone();
        if path.is_dir() { self.look_at_folder(&path) } else { self.look_at_file(&path) }
    }

    fn look_at_file(&mut self, path: &Path) -> Result<Option<Snapshot>, WalkError> {
        let read = |source| WalkError::Read { path: path.to_owned(), source };
        let Some((digest, modified)) = self.digests.of(path).map_err(read)? else { return Ok(None) };
        Ok(Some(Snapshot {
            made: Some(digest),
            made_at: Some(modified),
            outputs: vec![path.to_owned()],
            folders: path.parent().map(Path::to_owned).into_iter().collect(),
            ..Snapshot::default()
        }))
    }

    fn look_at_folder(&mut self, folder: &Path) -> Result<Option<Snapshot>, WalkError> {
        let file = folder.join(MANIFEST_FILE);
        let bytes = match read_manifest(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(WalkError::Read { path: file, source }),
        };
        // One that means nothing is refused by whoever registers it, in its own words.
        let manifest = std::str::from_utf8(&bytes).ok().and_then(|text| ComponentManifest::parse(text).ok());
        let manifest = manifest.unwrap_or_default();
        let outputs = outputs(folder, &manifest)?;
        let mut snapshot = Snapshot {
            id: manifest.id.map(|id| id.to_string()),
            manifest: Some(Digest::of(&bytes)),
            folders: vec![folder.to_owned()],
            ..Snapshot::default()
        };
        snapshot.folders.extend(outputs.iter().filter_map(|path| path.parent()).map(Path::to_owned));
        self.look_at_outputs(&outputs, &mut snapshot)?;
        if let Some(build) = manifest.build {
            let inputs: Vec<_> = build.inputs.iter().map(|input| real(&folder.join(input))).collect();
            let mut except = outputs.clone();
            except.push(file);
            let mut walk = Walk::new(&mut self.digests, &except);
            walk.add(folder)?;
            for input in &inputs {
                walk.add(input)?;
                snapshot.folders.extend(input.parent().map(Path::to_owned));
            }
            snapshot.newest = walk.newest;
            snapshot.folders.append(&mut walk.folders);
            snapshot.sources = Some(Arc::new(walk.sources()));
            snapshot.inputs = inputs;
            snapshot.build = Some(build);
        }
        snapshot.outputs = outputs;
        snapshot.folders.sort();
        snapshot.folders.dedup();
        Ok(Some(snapshot))
    }

    fn look_at_outputs(&mut self, outputs: &[PathBuf], snapshot: &mut Snapshot) -> Result<(), WalkError> {
        let mut all = Vec::new();
        for path in outputs {
            let read = |source| WalkError::Read { path: path.clone(), source };
            let Some((digest, modified)) = self.digests.of(path).map_err(read)? else { continue };
            all.extend_from_slice(digest.as_bytes());
            snapshot.made_at = snapshot.made_at.max(Some(modified));
        }
        snapshot.made = (!all.is_empty()).then(|| Digest::of(&all));
        Ok(())
    }
}

impl Snapshot {
    /// Says what has to be done with a component that was looked at for the first time.
    pub(crate) fn first_need(&self) -> Need {
        match (&self.build, self.made_at) {
            (Some(_), None) => Need::Build,
            (Some(_), Some(made)) if self.newest.is_some_and(|newest| newest > made) => Need::Build,
            _ => Need::Place,
        }
    }

    /// Says what has to be done if it looked like `before` when something was last done.
    pub(crate) fn need_after(&self, before: &Self) -> Need {
        if self.build.is_some() && !self.is_built_as(before) {
            Need::Build
        } else if (self.manifest, self.made) != (before.manifest, before.made) {
            Need::Place
        } else {
            Need::Nothing
        }
    }

    /// Tells whether it would be built from the same sources in the same way.
    pub(crate) fn is_built_as(&self, other: &Self) -> bool {
        (&self.build, &self.sources) == (&other.build, &other.sources)
    }

    /// Tells whether a build from `other` need not go on: it has read what is not so any more. Files that came meanwhile may be its own.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        let (Some(now), Some(then)) = (&self.sources, &other.sources) else { return true };
        self.build != other.build || then.iter().any(|(path, digest)| now.get(path) != Some(digest))
    }
}

fn read_manifest(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than may be: too long is not the same as cut.
    fs::File::open(file)?.take(MANIFEST_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the files of which one is the component: the one that the manifest names, else all that lie in the folder.
fn outputs(folder: &Path, manifest: &ComponentManifest) -> Result<Vec<PathBuf>, WalkError> {
    let named = manifest.wasm.as_ref().or(manifest.build.as_ref().and_then(|build| build.output.as_ref()));
    if let Some(named) = named {
        return Ok(vec![real(&folder.join(named))]);
    }
    let read = |source| WalkError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for child in fs::read_dir(folder).map_err(read)? {
        let path = child.map_err(read)?.path();
        if path.extension().is_some_and(|ending| ending == "wasm" || ending == "wat") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Returns a path as events name it: without `..` and links on the way, as far as its folders are there.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    let mut rest = PathBuf::new();
    for folder in path.ancestors() {
        if let Ok(real) = fs::canonicalize(folder) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
        let Some(name) = folder.file_name() else { break };
        rest = if rest.as_os_str().is_empty() { PathBuf::from(name) } else { Path::new(name).join(&rest) };
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "id = \"test:one\"\n[build]\ncommand = \"make\"\noutput = \"out/one.wat\"\n";

    fn place() -> (tempfile::TempDir, Place) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        fs::write(folder.path().join("component.toml"), MANIFEST).unwrap();
        fs::write(folder.path().join("one.c"), "1").unwrap();
        let place = Place::new(real(folder.path()));
        (folder, place)
    }

    fn look(place: &mut Place) -> Snapshot {
        place.look().unwrap().unwrap()
    }

    #[test]
    fn is_built_if_there_is_nothing_or_something_older_than_its_sources() {
        let (folder, mut place) = place();
        let first = look(&mut place);
        assert_eq!((first.first_need(), first.id.as_deref()), (Need::Build, Some("test:one")));
        fs::write(folder.path().join("out/one.wat"), "made").unwrap();
        assert_eq!(look(&mut place).first_need(), Need::Place);
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        fs::File::options().append(true).open(folder.path().join("one.c")).unwrap().set_modified(later).unwrap();
        assert_eq!(look(&mut place).first_need(), Need::Build);
    }

    #[test]
    fn sources_are_built_and_what_is_made_is_placed() {
        let (folder, mut place) = place();
        let before = look(&mut place);
        assert_eq!(look(&mut place).need_after(&before), Need::Nothing);
        fs::write(folder.path().join("out/one.wat"), "made").unwrap();
        let made = look(&mut place);
        assert_eq!(made.need_after(&before), Need::Place);
        fs::write(folder.path().join("one.c"), "22").unwrap();
        assert_eq!(look(&mut place).need_after(&made), Need::Build);
        fs::write(folder.path().join("one.c"), "1").unwrap();
        assert_eq!(look(&mut place).need_after(&made), Need::Nothing);
        fs::write(folder.path().join("component.toml"), format!("{MANIFEST}[config]\na = \"1\"\n")).unwrap();
        assert_eq!(look(&mut place).need_after(&made), Need::Place);
        fs::write(folder.path().join("component.toml"), MANIFEST.replace("make", "make all")).unwrap();
        assert_eq!(look(&mut place).need_after(&made), Need::Build);
        fs::write(folder.path().join("component.toml"), "no toml at all").unwrap();
        assert_eq!(look(&mut place).need_after(&made), Need::Place);
        fs::remove_file(folder.path().join("component.toml")).unwrap();
        assert_eq!(place.look().unwrap(), None);
    }

    #[test]
    fn inputs_elsewhere_count_as_sources() {
        let (folder, mut place) = place();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("world.wit"), "package a:b;").unwrap();
        let manifest = format!("{MANIFEST}inputs = [\"{}\"]\n", elsewhere.path().display());
        fs::write(folder.path().join("component.toml"), manifest).unwrap();
        let before = look(&mut place);
        assert!(before.folders.contains(&real(elsewhere.path())));
        fs::write(elsewhere.path().join("world.wit"), "package a:c;").unwrap();
        assert_eq!(look(&mut place).need_after(&before), Need::Build);
    }

    #[test]
    fn a_path_is_real_as_far_as_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        let path = folder.path().join("a/../target/release/x.wasm");
        assert_eq!(real(&path), real(folder.path()).join("target/release/x.wasm"));
    }
}
