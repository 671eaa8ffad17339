//! Discovery: what in a folder could be registered.

use std::path::{Path, PathBuf};

use domain::manifest::Kind;
use domain::{ComponentId, Version};

use crate::Registry;
use crate::builder::OnWarning;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::register::{Draft, RegisterRequest};
use crate::source::{self, ComponentSource, MANIFEST_FILE, children, is_component_file};

/// How many folders deep a scan looks.
const DEPTH_MAX: usize = 6;
/// Most components that one scan returns.
const CANDIDATES_MAX: usize = 100_000;
/// Most problems that the operator is warned of one by one when a registry is opened.
const WARNINGS_MAX: usize = 8;
/// Folders that hold what builds leave behind, not components.
const SKIPPED: &[&str] = &["target", "node_modules", "__pycache__", "wit"];

/// Something that could be registered, or that looks like it and says why not.
#[derive(Debug)]
pub struct Candidate {
    /// The file, or the folder with a component manifest.
    pub path: PathBuf,
    /// The id it would get.
    pub id: Option<ComponentId>,
    /// The version it would get.
    pub version: Option<Version>,
    /// Its kind.
    pub kind: Kind,
    /// Why it cannot be registered.
    pub error: Option<RegistryError>,
    /// The request that registers it.
    pub request: RegisterRequest,
}

impl Registry {
    /// Lists what registering `path` would take: a component file, a folder with a component manifest, or a folder of such, at most
    /// six folders deep. Hidden folders and those that builds leave behind are passed over. Each candidate is read and inspected;
    /// one that cannot be registered says why.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchPath`], [`RegistryError::NoComponents`], [`RegistryError::Read`].
    pub async fn discover(&self, path: &Path) -> Result<Vec<Candidate>, RegistryError> {
        let requests = self.requests_below(path).await?;
        let registry = self.clone();
        blocking(move || Ok(requests.into_iter().map(|request| registry.look_at(request)).collect())).await
    }

    /// Returns a request for each component at or below `path`, without reading the binaries.
    ///
    /// # Errors
    /// As [`Registry::discover`].
    pub async fn requests_below(&self, path: &Path) -> Result<Vec<RegisterRequest>, RegistryError> {
        let path = path.to_owned();
        blocking(move || {
            let paths = find(&path)?;
            Ok(paths.into_iter().map(|path| RegisterRequest::new(ComponentSource::Path(path))).collect())
        })
        .await
    }

    fn look_at(&self, request: RegisterRequest) -> Candidate {
        let path = match &request.source {
            ComponentSource::Path(path) => path.clone(),
            ComponentSource::Bytes { name, .. } => PathBuf::from(name),
        };
        match Draft::make(&*self.inner.engine, &request) {
            Ok(draft) => Candidate {
                path,
                id: Some(draft.id),
                version: Some(draft.version),
                kind: draft.manifest.kind(),
                error: None,
                request,
            },
            Err(error) => {
                Candidate { path, id: None, version: None, kind: Kind::default(), error: Some(error), request }
            }
        }
    }

    /// Registers what lies in the folders of the setting `auto_discover`. What cannot be registered is left, and `warn` hears of it.
    ///
    /// It is no refused operation in the journal: nobody asked for it, and it would be there again with each opening.
    pub(crate) async fn auto_discover(&self, warn: &OnWarning) {
        let system = self.with_actor(domain::Actor::System);
        let mut problems = Vec::new();
        for folder in &self.settings().auto_discover {
            match system.requests_below(Path::new(folder)).await {
                Ok(requests) => {
                    let (results, unsettled) = system.register_batch(requests, |_| {}).await;
                    problems.extend(results.into_iter().filter_map(Result::err).chain(unsettled));
                }
                Err(error) => problems.push(error),
            }
        }
        for problem in problems.iter().take(WARNINGS_MAX) {
            warn(&format!("auto_discover: {problem}"));
        }
        if problems.len() > WARNINGS_MAX {
            let more = problems.len() - WARNINGS_MAX;
            warn(&format!("auto_discover: {more} more cannot be registered; `runtime scan FOLDER` lists them"));
        }
    }
}

/// What is at or below a path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Below {
    /// Component files, and folders with a component manifest; ordered.
    pub components: Vec<PathBuf>,
    /// The folders in which there could be more: those that were looked through.
    pub folders: Vec<PathBuf>,
    /// One of the links to folders that were not followed.
    pub linked: Option<PathBuf>,
}

/// Finds what registering `path` would take, as [`Registry::requests_below`] does, without reading any of it. Blocks on the disk.
///
/// # Errors
/// [`RegistryError::NoSuchPath`], [`RegistryError::Read`], [`RegistryError::BadPath`] where there is too much; a folder without
/// components is none.
pub fn components_below(path: &Path) -> Result<Below, RegistryError> {
    let mut below = Below::default();
    if !source::stat(path)?.is_dir() {
        below.components.push(path.to_owned());
        return Ok(below);
    }
    let mut open = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        if folder.join(MANIFEST_FILE).is_file() {
            below.components.push(folder);
            continue;
        }
        for child in children(&folder)? {
            if is_component_file(&child) {
                below.components.push(child);
            } else if depth < DEPTH_MAX && is_searched(&child) {
                open.push((child, depth + 1));
            } else if below.linked.is_none() && child.is_symlink() && child.is_dir() {
                below.linked = Some(child);
            }
        }
        below.folders.push(folder);
        if below.components.len() > CANDIDATES_MAX {
            return Err(RegistryError::BadPath {
                path: path.to_owned(),
                reason: format!("the folder holds more than {CANDIDATES_MAX} components"),
                hint: "register its subfolders one by one".to_owned(),
            });
        }
    }
    below.components.sort();
    Ok(below)
}

/// Returns the component files and component folders at or below `path`, ordered.
fn find(path: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let Below { components, linked, .. } = components_below(path)?;
    if components.is_empty() {
        return Err(RegistryError::NoComponents { path: path.to_owned(), linked });
    }
    Ok(components)
}

/// Tells whether a scan goes into `path`. Links are not followed: they could lead in a circle or out of the folder.
fn is_searched(path: &Path) -> bool {
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    is_folder && !name.starts_with('.') && !SKIPPED.contains(&name.as_ref())
}
