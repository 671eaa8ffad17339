//! Archives of components: what one registry hands to another.
//!
//! A plain tar: a manifest that lists every component with the digests of its bytes and of its `component.toml`, then both files of
//! each component, dependencies first. Between them, in the archive of a whole registry, its `registry.toml`.
//!
//! Format 2 added who provides each import, and the custom indexes and settings of a whole registry; format 1 is read as if there were
//! none.

mod list;
mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::write;

/// Format of these archives; a reader refuses those of a later one.
const FORMAT: u32 = 2;
const KIND: &str = "runtime-components";
/// Name of the settings in an archive.
const SETTINGS: &str = "registry.toml";

/// Returns the names of manifest and bytes of the component in place `at`.
fn names(at: usize) -> (String, String) {
    (format!("components/{at:06}/component.toml"), format!("components/{at:06}/component.wasm"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use domain::ports::{ArchivePart, ArchivedRegistry, BackupError, Stop, StorageError};
    use domain::{Digest, Timestamp};

    use super::list::LIST;
    use super::*;
    use crate::archive::{Writer, sealed};

    const GOOD: &str = "id = \"demo:a\"\nversion = \"1.0.0\"\n";

    /// Writes an archive of one component whose list was changed by `change`.
    fn archive(folder: &Path, text: &str, change: impl FnOnce(&mut serde_json::Value)) -> std::path::PathBuf {
        archive_with(folder, text, None, change)
    }

    /// The same with settings.
    fn archive_with(
        folder: &Path,
        text: &str,
        settings: Option<&[u8]>,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> std::path::PathBuf {
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
        if let Some(settings) = settings {
            list["registry"] = serde_json::json!({
                "indexes": ["team"],
                "settings_size": settings.len(),
                "settings_digest": Digest::of(settings),
            });
        }
        change(&mut list);
        let list = sealed::seal(serde_json::to_vec(&list).unwrap());
        let path = folder.join("archive.tar");
        let mut archive = Writer::new(File::create(&path).unwrap(), 0);
        archive.file(LIST, list.len() as u64, &mut &list[..]).unwrap();
        if let Some(settings) = settings {
            archive.file(SETTINGS, settings.len() as u64, &mut &*settings).unwrap();
        }
        let (manifest_name, name) = names(0);
        archive.file(&manifest_name, text.len() as u64, &mut text.as_bytes()).unwrap();
        archive.file(&name, bytes.len() as u64, &mut &bytes[..]).unwrap();
        archive.finish().unwrap();
        path
    }

    fn refused(path: &Path) -> BackupError {
        read(path, &mut |_| panic!("something was handed out"), &Stop::default()).unwrap_err()
    }

    /// Reads an archive: what it has of the registry, and `id, imports with provider, bytes` of each component.
    fn taken(path: &Path) -> (Option<ArchivedRegistry>, Vec<String>) {
        let (mut contents, mut components) = (None, Vec::new());
        let mut take = |part| {
            match part {
                ArchivePart::Contents { components: 1, registry } => contents = Some(registry),
                ArchivePart::Contents { components, .. } => panic!("{components} components"),
                ArchivePart::Component(component, bytes) => {
                    let providers = component.providers.iter();
                    let providers: Vec<_> = providers.map(|(import, on)| format!("{import} by {on}")).collect();
                    components.push(format!("{} {providers:?} {}", component.id, bytes.len()));
                }
            }
            true
        };
        read(path, &mut take, &Stop::default()).unwrap();
        (contents.unwrap(), components)
    }

    #[test]
    fn archives_of_the_first_format_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let first = archive(folder.path(), GOOD, |list| list["format"] = 1.into());
        assert_eq!(taken(&first), (None, vec!["demo:a [] 10".to_owned()]));
    }

    #[test]
    fn settings_that_no_registry_can_have_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let settings = "[limits]\nfuel = 7\n";
        let whole = archive_with(folder.path(), GOOD, Some(settings.as_bytes()), |list| {
            list["components"][0]["imports"] = serde_json::json!([{ "import": "a:b/c", "on": "demo:b" }]);
        });
        let registry = ArchivedRegistry { indexes: vec!["team".to_owned()], settings: settings.to_owned() };
        let component = "demo:a [\"a:b/c by demo:b\"] 10";
        assert_eq!(taken(&whole), (Some(registry), vec![component.to_owned()]));
        for settings in [&b"[limits]\nfuel = 0\n"[..], b"unknown = 1\n", b"# \xff\n"] {
            let error = refused(&archive_with(folder.path(), GOOD, Some(settings), |_| {}));
            assert!(matches!(&error, BackupError::Damaged { place, .. } if place == SETTINGS), "{error}");
        }
        let too_large = archive_with(folder.path(), GOOD, Some(b""), |list| {
            list["registry"]["settings_size"] = (1_u64 << 40).into();
        });
        assert!(matches!(refused(&too_large), BackupError::Damaged { place, .. } if place == LIST));
    }

    #[test]
    fn hostile_lists_and_manifests_are_refused_before_anything_is_handed_out() {
        let folder = tempfile::tempdir().unwrap();
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
            let error = refused(&archive(folder.path(), GOOD, change));
            assert!(matches!(&error, BackupError::Damaged { .. }), "{at}: {error}");
        }
        assert!(matches!(refused(&folder.path().join("nothing")), BackupError::NotABackup { .. }));
        let later = archive(folder.path(), GOOD, |list| list["format"] = (FORMAT + 1).into());
        assert!(matches!(refused(&later), BackupError::Storage(StorageError::NewerFormat { found: 3, .. })));
    }
}
