//! What a fused unit is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::callers;
use domain::entry::{EdgeKind, Entry, Need};
use domain::inspection::ExternKind;
use domain::ports::{BlobStore, Engine, EngineError, FuseLink, FusePart, Link, Slot, SourceError, StateView};
use domain::ports::{StorageError, UnitSource};
use domain::{ComponentId, Digest, Status, reduce};

use super::refusal::FuseRefusal;

/// Form of what a fused unit is made of; another one makes other bytes of the same parts.
const FORM: &str = "fused/1";

/// A component and those whose code becomes part of its unit.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    root: Arc<Entry>,
    /// Ordered by id.
    parts: Vec<Arc<Entry>>,
}

impl Recipe {
    /// Collects what of `named` is called by `root`, or by others of them that are. `None` if nothing is.
    ///
    /// # Errors
    /// [`StorageError`] if the state cannot be read.
    pub(crate) fn collect(
        view: &dyn StateView,
        root: &Arc<Entry>,
        named: &BTreeSet<ComponentId>,
    ) -> Result<Option<Self>, StorageError> {
        let mut parts: BTreeMap<ComponentId, Arc<Entry>> = BTreeMap::new();
        let mut open = vec![root.clone()];
        while let Some(entry) = open.pop() {
            for (_, _, on) in imports(&entry) {
                if *on != root.id
                    && named.contains(on)
                    && !parts.contains_key(on)
                    && let Some(part) = view.entry(on)?
                {
                    parts.insert(on.clone(), part.clone());
                    open.push(part);
                }
            }
        }
        let parts: Vec<_> = parts.into_values().collect();
        Ok((!parts.is_empty()).then(|| Self { root: root.clone(), parts }))
    }

    /// Returns the parts, ordered by id.
    pub(crate) fn parts(&self) -> &[Arc<Entry>] {
        &self.parts
    }

    /// Returns the component and the parts.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Entry>> {
        std::iter::once(&self.root).chain(&self.parts)
    }

    fn position(&self, id: &ComponentId) -> Option<usize> {
        self.parts.binary_search_by(|part| part.id.cmp(id)).ok()
    }

    /// Tells whether another component serves `import` of `entry`: one that is a part, or one beside them.
    pub(crate) fn is_linked(entry: &Entry, import: &str) -> bool {
        imports(entry).any(|(name, _, _)| name == import)
    }

    /// Checks that whoever is called lets the component call: its code and that of its parts are one.
    pub(super) fn check_callers(&self, view: &dyn StateView) -> Result<Result<(), FuseRefusal>, StorageError> {
        for member in self.members() {
            for (_, export, on) in imports(member) {
                let Some(provider) = view.entry(on)? else { continue };
                if let Some(allowed) = provider.revision.manifest.callers.refusing(export, &self.root.id) {
                    let refusal = callers::refusal(on, &self.root.id, export, allowed);
                    return Ok(Err(FuseRefusal::Callers { refusal }));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Checks that each import that remains is served to all by one: there can be only one import of a name, or of versions that are
    /// compatible.
    pub(super) fn check_sources(&self) -> Result<(), FuseRefusal> {
        let mut sources: BTreeMap<String, Option<&ComponentId>> = BTreeMap::new();
        for member in self.members() {
            for import in &member.revision.imports {
                if matches!(import.kind, ExternKind::TypesOnly | ExternKind::Other) {
                    continue;
                }
                let source = imports(member).find(|(name, _, _)| *name == import.name).map(|(_, _, on)| on);
                if source.is_some_and(|on| self.position(on).is_some()) {
                    continue;
                }
                let key = reduce::wanted_key(&Need::Import(import.name.clone()));
                let before = *sources.entry(key).or_insert(source);
                if before != source {
                    let (one, other) = (before.cloned(), source.cloned());
                    return Err(FuseRefusal::Sources { import: import.name.clone(), one, other });
                }
            }
        }
        Ok(())
    }

    /// Returns what stands for the bytes that are made: the digests of all parts, and how they are linked. It says without making them
    /// whether their native code is there.
    pub(crate) fn identity(&self) -> Digest {
        let mut text = FORM.to_owned();
        for member in self.members() {
            text.push_str(&format!("\n{}", member.revision.digest));
            for FuseLink { import, export, part } in self.links(member) {
                text.push_str(&format!("\n {part} {import} {export}"));
            }
        }
        Digest::of(text.as_bytes())
    }

    /// Returns how many bytes all of it has.
    pub(crate) fn size(&self) -> u64 {
        self.members().map(|member| member.revision.size).sum()
    }

    /// Returns the first part that is not active.
    pub(crate) fn inactive(&self) -> Option<&ComponentId> {
        self.parts.iter().find(|part| part.status != Status::Active).map(|part| &part.id)
    }

    /// Tells whether the parts are still as they were when this was made.
    ///
    /// # Errors
    /// [`StorageError`] if the state cannot be read.
    pub(crate) fn is_current(&self, view: &dyn StateView) -> Result<bool, StorageError> {
        for part in &self.parts {
            let is_same = view.entry(&part.id)?.is_some_and(|now| {
                now.status == part.status
                    && now.revision.number == part.revision.number
                    && now.dependencies == part.dependencies
                    && now.grants == part.grants
            });
            if !is_same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the imports that remain and that components beside the parts serve.
    pub(crate) fn outer_links(&self, slot: impl Fn(&ComponentId) -> Arc<Slot>) -> Vec<Link> {
        let all = self.members().flat_map(|member| imports(member));
        let outer = all.filter(|(_, _, on)| self.position(on).is_none());
        let mut links: Vec<Link> = Vec::new();
        for (import, export, on) in outer {
            // `check_sources` has seen that they all lead to one component.
            if links.iter().all(|link| link.import != import) {
                links.push(Link { import: import.to_owned(), export: export.to_owned(), provider: slot(on) });
            }
        }
        links
    }

    fn links(&self, member: &Entry) -> Vec<FuseLink> {
        let inner = imports(member).filter_map(|(import, export, on)| {
            Some(FuseLink { import: import.to_owned(), export: export.to_owned(), part: self.position(on)? })
        });
        inner.collect()
    }

    /// Makes one component of all of them. Blocks.
    ///
    /// # Errors
    /// [`SourceError`].
    pub(super) fn compose(&self, engine: &dyn Engine, blobs: &dyn BlobStore) -> Result<Vec<u8>, SourceError> {
        let part = |entry: &Arc<Entry>| {
            let bytes = blobs.get(&entry.revision.digest)?;
            Ok::<_, StorageError>(FusePart { id: entry.id.clone(), bytes, links: self.links(entry) })
        };
        let root = part(&self.root)?;
        let parts: Vec<_> = self.parts.iter().map(part).collect::<Result<_, _>>()?;
        engine.compose(&root, &parts).map_err(SourceError::Composition)
    }

    /// Checks that what is made of them still exports what the component exports. Blocks.
    pub(super) fn check_exports(&self, engine: &dyn Engine, composed: &[u8]) -> Result<(), FuseRefusal> {
        let inspected = engine.inspect(composed).map_err(|error| FuseRefusal::Composition { source: named(error) })?;
        let mut exports = self.root.revision.exports.iter();
        match exports.find(|export| !inspected.exports.contains(export)) {
            None => Ok(()),
            Some(lost) => Err(FuseRefusal::Lost { export: lost.name.clone() }),
        }
    }
}

/// Says that what was composed, not what was registered, is not a component that can be used.
fn named(error: EngineError) -> EngineError {
    match error {
        EngineError::NotAComponent { reason } => EngineError::CannotCompose { reason },
        error => error,
    }
}

/// Returns the imports of `entry` that others serve: the import, the export that serves it, and whose that is.
pub(super) fn imports(entry: &Entry) -> impl Iterator<Item = (&str, &str, &ComponentId)> {
    entry.dependencies.iter().filter_map(|edge| match &edge.kind {
        EdgeKind::Import { import, export } => Some((import.as_str(), export.as_str(), &edge.on)),
        EdgeKind::Declared { .. } => None,
    })
}

/// Makes the bytes of a fused unit where native code has to be made of them.
pub(crate) struct Composed {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) recipe: Recipe,
}

impl UnitSource for Composed {
    fn bytes(&self, _: &Digest) -> Result<Arc<[u8]>, SourceError> {
        Ok(self.recipe.compose(&*self.engine, &*self.blobs)?.into())
    }
}
