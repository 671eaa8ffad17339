//! Which function a name means.

use domain::ComponentId;
use domain::ports::EngineError;

use crate::link::shown;
use crate::unit::{Export, Exports};

/// Finds the function called `name`: exactly as in the binary, or with as much of it left out as stays unambiguous.
///
/// `func`, `iface#func`, `ns:pkg/iface#func` and `ns:pkg/iface@1.0.0#func` are understood. An exact name wins. The
/// functions of `registry:component` are only found with their interface, for nobody means them by a bare `check`.
pub(super) fn resolve<'a>(
    id: &ComponentId,
    exports: &'a Exports,
    name: &str,
) -> Result<(usize, &'a Export), EngineError> {
    // WIT text has a `%` before names that are words of the language; the names themselves have none.
    let plain = name.replace('%', "");
    let name = plain.as_str();
    if let Some(found) = exports.position(None, name).and_then(|i| Some((i, exports.get(i)?))) {
        return Ok(found);
    }
    let matching: Vec<_> = exports.all().iter().enumerate().filter(|(_, export)| is_meant(export, name)).collect();
    match matching.as_slice() {
        [one] => Ok(*one),
        [] => Err(EngineError::UnknownFunction {
            component: id.clone(),
            function: shown(name),
            known: exports.all().iter().filter(|e| is_listed(e)).map(|e| shown(&e.qualified)).collect(),
        }),
        several => Err(EngineError::AmbiguousFunction {
            component: id.clone(),
            function: shown(name),
            candidates: several.iter().map(|(_, export)| shown(&export.qualified)).collect(),
        }),
    }
}

fn is_listed(export: &Export) -> bool {
    !export.lifecycle && export.is_plain()
}

fn is_meant(export: &Export, name: &str) -> bool {
    match name.rsplit_once('#') {
        None => !export.lifecycle && &*export.name == name,
        Some((path, function)) => {
            &*export.name == function && export.interface.as_deref().is_some_and(|full| is_path(full, path))
        }
    }
}

/// Tells whether `path` is `full` with version, package or both left out.
fn is_path(full: &str, path: &str) -> bool {
    let parts = |name: &str| name.split_once('@').map(|(name, version)| (name.to_owned(), version.to_owned()));
    let (unversioned, version) = parts(full).map_or((full.to_owned(), None), |(name, version)| (name, Some(version)));
    let (wanted, wanted_version) = parts(path).map_or((path.to_owned(), None), |(name, version)| (name, Some(version)));
    let word = unversioned.rsplit('/').next().unwrap_or(&unversioned);
    (wanted == unversioned || wanted == word) && (wanted_version.is_none() || wanted_version == version)
}
