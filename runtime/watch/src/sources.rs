//! The files that a component is made of: everything in its folder but what builds and editors leave there.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use domain::Digest;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Most files that are looked at for one component.
const FILES_MAX: usize = 20_000;
/// Deepest nesting of folders.
const DEPTH_MAX: usize = 32;
/// A larger file is known by its length and time, not by what is in it.
const READ_MAX: u64 = 64 << 20;
/// Most folders upwards in which a `.gitignore` is looked for.
const PARENTS_MAX: usize = 32;

/// Folders that hold what builds leave behind.
const MADE: &[&str] = &["build", "dist", "node_modules", "target", "zig-cache", "zig-out", "__pycache__"];

/// What is known of a file without reading it again.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Looks {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Looks {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Digests of files, kept for as long as the files look the same.
#[derive(Default)]
pub(crate) struct FileDigests(HashMap<PathBuf, (Looks, Digest)>);

impl FileDigests {
    /// Returns the digest of a file and when it was changed; `None` if it is not there, or no file.
    ///
    /// # Errors
    /// Those of reading it.
    pub(crate) fn of(&mut self, path: &Path) -> io::Result<Option<(Digest, SystemTime)>> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return Ok(None),
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let modified = metadata.modified()?;
        let looks = Looks::of(&metadata);
        if let Some((known, digest)) = self.0.get(path)
            && *known == looks
        {
            return Ok(Some((*digest, modified)));
        }
        let digest = if metadata.len() > READ_MAX {
            Digest::of(format!("{} {:?}", metadata.len(), looks.modified).as_bytes())
        } else {
            match fs::read(path) {
                Ok(bytes) => Digest::of(&bytes),
                Err(error) if is_gone(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        self.0.insert(path.to_owned(), (looks, digest));
        Ok(Some((digest, modified)))
    }

    /// Forgets a file, so that it is read next time however it looks: clocks of file systems are coarse.
    pub(crate) fn forget(&mut self, path: &Path) {
        self.0.remove(path);
    }
}

/// Collects the digests of all sources below some roots.
pub(crate) struct Walk<'a> {
    digests: &'a mut FileDigests,
    /// What is no source although it lies there: what the build makes, and the manifest.
    except: &'a [PathBuf],
    found: BTreeMap<PathBuf, Digest>,
    /// When the newest was changed.
    pub(crate) newest: Option<SystemTime>,
    /// The folders in which sources are, or could be.
    pub(crate) folders: Vec<PathBuf>,
}

/// The sources cannot be walked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("more than {FILES_MAX} files below {}: name what is no source in a `.gitignore`", .0.display())]
    TooMany(PathBuf),
}

impl<'a> Walk<'a> {
    pub(crate) fn new(digests: &'a mut FileDigests, except: &'a [PathBuf]) -> Self {
        Self { digests, except, found: BTreeMap::new(), newest: None, folders: Vec::new() }
    }

    /// Adds `root`, a file or a folder with all that is in it.
    ///
    /// # Errors
    /// [`WalkError`]; what is gone, or goes meanwhile, is none.
    pub(crate) fn add(&mut self, root: &Path) -> Result<(), WalkError> {
        if !root.is_dir() {
            return self.file(root, root);
        }
        let mut ignored: Vec<Gitignore> = above(root);
        self.folder(root, root, &mut ignored, 0)
    }

    /// Returns all sources by their paths, with their digests.
    pub(crate) fn sources(self) -> BTreeMap<PathBuf, Digest> {
        self.found
    }

    fn folder(
        &mut self,
        root: &Path,
        folder: &Path,
        ignored: &mut Vec<Gitignore>,
        depth: usize,
    ) -> Result<(), WalkError> {
        self.folders.push(folder.to_owned());
        let read = |source: io::Error| WalkError::Read { path: folder.to_owned(), source };
        let children = match fs::read_dir(folder) {
            Ok(children) => children,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(read(error)),
        };
        let own = gitignore(folder);
        let has_own = own.is_some();
        ignored.extend(own);
        for child in children {
            let child = child.map_err(read)?;
            let Ok(kind) = child.file_type() else { continue };
            let path = child.path();
            if is_passing(&child.file_name(), kind.is_dir()) || is_ignored(ignored, &path, kind.is_dir()) {
                continue;
            }
            if kind.is_dir() {
                if depth < DEPTH_MAX {
                    self.folder(root, &path, ignored, depth + 1)?;
                }
            } else {
                self.file(root, &path)?;
            }
        }
        if has_own {
            ignored.pop();
        }
        Ok(())
    }

    fn file(&mut self, root: &Path, path: &Path) -> Result<(), WalkError> {
        if self.except.iter().any(|except| except == path) || is_made(path) {
            return Ok(());
        }
        let read = |source| WalkError::Read { path: path.to_owned(), source };
        let Some((digest, modified)) = self.digests.of(path).map_err(read)? else { return Ok(()) };
        if self.found.len() >= FILES_MAX {
            return Err(WalkError::TooMany(root.to_owned()));
        }
        self.newest = self.newest.max(Some(modified));
        self.found.insert(path.to_owned(), digest);
        Ok(())
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Tells whether something is no source by its name: hidden, made by a build, or in an editor's hands.
pub(crate) fn is_passing(name: &OsStr, is_folder: bool) -> bool {
    let name = name.to_string_lossy();
    let is_editors = name.ends_with('~')
        || name.starts_with(".#")
        || (name.starts_with('#') && name.ends_with('#'))
        || name.ends_with("___jb_tmp___")
        || name.ends_with("___jb_old___")
        // Vim tries with it whether it may write.
        || name == "4913";
    name.starts_with('.') || is_editors || (is_folder && MADE.contains(&name.as_ref()))
}

/// Tells whether something below `root` is no source by the name of it or of a folder that it is in.
pub(crate) fn is_passing_below(root: &Path, path: &Path) -> bool {
    let Ok(below) = path.strip_prefix(root) else { return false };
    let count = below.components().count();
    below.components().enumerate().any(|(at, part)| is_passing(part.as_os_str(), at + 1 < count || path.is_dir()))
}

/// Tells whether a file is what builds make, wherever it lies.
fn is_made(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "wasm" || ending == "cwasm")
}

/// The deepest one that says something of a path goes.
fn is_ignored(ignored: &[Gitignore], path: &Path, is_folder: bool) -> bool {
    let said = ignored.iter().rev().map(|rules| rules.matched(path, is_folder)).find(|said| !said.is_none());
    matches!(said, Some(Match::Ignore(_)))
}

/// Returns the rules of a folder, if it has some. Lines that mean nothing are passed over, as git does.
fn gitignore(folder: &Path) -> Option<Gitignore> {
    let file = folder.join(".gitignore");
    if !file.is_file() {
        return None;
    }
    let mut rules = GitignoreBuilder::new(folder);
    rules.add(file);
    rules.build().ok().filter(|rules| !rules.is_empty())
}

/// Returns the rules that hold above `folder`, up to the root of the checkout that it is in; none where it is in none.
fn above(folder: &Path) -> Vec<Gitignore> {
    let mut rules = Vec::new();
    if folder.join(".git").exists() {
        return rules;
    }
    for parent in folder.ancestors().skip(1).take(PARENTS_MAX) {
        rules.extend(gitignore(parent));
        if parent.join(".git").exists() {
            rules.reverse();
            return rules;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes files into a folder.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            write(folder.path(), file, file);
        }
        folder
    }

    fn write(folder: &Path, file: &str, text: &str) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn names(root: &Path) -> Vec<String> {
        let mut digests = FileDigests::default();
        let except = [root.join("component.toml")];
        let mut walk = Walk::new(&mut digests, &except);
        walk.add(root).unwrap();
        let name = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        walk.found.keys().map(name).collect()
    }

    fn sources(root: &Path, digests: &mut FileDigests) -> BTreeMap<PathBuf, Digest> {
        let mut walk = Walk::new(digests, &[]);
        walk.add(root).unwrap();
        walk.sources()
    }

    #[test]
    fn what_builds_and_editors_leave_behind_is_no_source() {
        let place = folder(&[
            "component.toml",
            "src/main.c",
            "src/.main.c.swp",
            "src/main.c~",
            "src/#main.c#",
            "src/4913",
            "wit/world.wit",
            "build/out.wasm",
            "target/release/x.d",
            "node_modules/a/b.js",
            ".git/HEAD",
            "made.wasm",
            "Cargo.lock",
        ]);
        assert_eq!(names(place.path()), ["Cargo.lock", "src/main.c", "wit/world.wit"]);
    }

    #[test]
    fn rules_of_git_hold_the_deepest_first() {
        let place = folder(&["one/src/a.c", "one/src/made.c", "one/src/keep.c", "one/deep/made.c"]);
        fs::create_dir(place.path().join(".git")).unwrap();
        write(place.path(), ".gitignore", "made.c\nkeep.c\n");
        write(place.path(), "one/src/.gitignore", "!keep.c\n");
        assert_eq!(names(&place.path().join("one")), ["src/a.c", "src/keep.c"]);
        fs::remove_dir(place.path().join(".git")).unwrap();
        assert_eq!(names(&place.path().join("one")).len(), 4, "what lies above says nothing outside of a checkout");
    }

    #[test]
    fn content_and_names_count_and_times_do_not() {
        let place = folder(&["a", "b"]);
        let mut digests = FileDigests::default();
        let before = sources(place.path(), &mut digests);
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        fs::File::options().append(true).open(place.path().join("a")).unwrap().set_modified(later).unwrap();
        assert_eq!(sources(place.path(), &mut digests), before);
        write(place.path(), "a", "other");
        let other = sources(place.path(), &mut digests);
        assert_ne!(other, before);
        write(place.path(), "a", "a");
        assert_eq!(sources(place.path(), &mut digests), before);
        fs::rename(place.path().join("a"), place.path().join("c")).unwrap();
        assert_ne!(sources(place.path(), &mut digests), before);
    }

    #[test]
    fn names_of_folders_on_the_way_count() {
        let root = Path::new("/x/target/component");
        assert!(is_passing_below(root, &root.join("build/a.c")) && is_passing_below(root, &root.join(".idea/x")));
        assert!(!is_passing_below(root, &root.join("src/build.rs")) && !is_passing_below(root, root));
    }
}
