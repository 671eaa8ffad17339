//! Names of files in a data folder and in a backup. Only these names exist, so none leads anywhere else.

use domain::Digest;

/// What a file of a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Part of the journal.
    Journal,
    /// The settings file, or that of the policy.
    Settings,
    /// Bytes under their digest.
    Blob(Digest),
}

/// The files that people write.
pub(super) const WRITTEN_BY_PEOPLE: [&str; 2] = ["registry.toml", "policy.toml"];

/// Returns what the file at `path`, relative to a data folder, is; `None` if a backup has no such file.
pub(super) fn kind_of(path: &str) -> Option<Kind> {
    if WRITTEN_BY_PEOPLE.contains(&path) {
        return Some(Kind::Settings);
    }
    if let Some(name) = path.strip_prefix("journal/") {
        let digits = name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".snapshot"))?;
        let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        return is_number.then_some(Kind::Journal);
    }
    let (shelf, hex) = path.strip_prefix("blobs/sha256/")?.split_once('/')?;
    let digest = format!("sha256:{hex}").parse().ok()?;
    (shelf.len() == 2 && hex.starts_with(shelf)).then_some(Kind::Blob(digest))
}

/// Returns the path of a blob, relative to a data folder.
pub(super) fn blob_path(digest: &Digest) -> String {
    let hex = digest.to_hex();
    format!("blobs/sha256/{}/{hex}", hex.get(..2).unwrap_or_default())
}

/// Returns the name under which a backup keeps the file at `path`. It changes with the bytes, so that a file of the backup before
/// is never written over.
pub(super) fn stored(path: &str, digest: &Digest) -> String {
    match kind_of(path) {
        Some(Kind::Blob(_)) => path.to_owned(),
        Some(Kind::Journal | Kind::Settings) | None => format!("{path}.{}", mark(digest)),
    }
}

fn mark(digest: &Digest) -> String {
    digest.to_hex().chars().take(16).collect()
}

/// Tells whether a file of this name, relative to a backup's folder, was put there by a backup.
pub(super) fn is_stored(name: &str) -> bool {
    match kind_of(name) {
        Some(Kind::Blob(_)) => return true,
        Some(Kind::Journal | Kind::Settings) | None => {}
    }
    let Some((path, mark)) = name.rsplit_once('.') else { return false };
    let is_mark = mark.len() == 16 && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_mark && matches!(kind_of(path), Some(Kind::Journal | Kind::Settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_data_folder_are_known() {
        let digest = Digest::of(b"x");
        let hex = digest.to_hex();
        let blob = format!("blobs/sha256/{}/{hex}", &hex[..2]);
        assert_eq!(kind_of(&blob), Some(Kind::Blob(digest)));
        assert_eq!(blob_path(&digest), blob);
        assert_eq!(kind_of("journal/00000000000000000001.jsonl"), Some(Kind::Journal));
        assert_eq!(kind_of("journal/00000000000000000001.snapshot"), Some(Kind::Journal));
        assert_eq!(kind_of("registry.toml"), Some(Kind::Settings));
        assert_eq!(kind_of("policy.toml"), Some(Kind::Settings));
        for wrong in [
            "",
            "/etc/passwd",
            "../registry.toml",
            "journal/../../x.jsonl",
            "journal/1.jsonl",
            "journal/0000000000000000000a.jsonl",
            "/registry.toml",
            "./registry.toml",
            "journal//00000000000000000001.jsonl",
            "LOCK",
            "index/db",
            &format!("blobs/sha256/zz/{hex}"),
            &format!("blobs/sha256//{hex}"),
            &format!("blobs/sha256/{}/{}", &hex[..2], hex.to_uppercase()),
        ] {
            assert_eq!(kind_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn stored_names_are_recognised_again() {
        let digest = Digest::of(b"x");
        for path in [blob_path(&digest), "registry.toml".to_owned(), "journal/00000000000000000007.jsonl".to_owned()] {
            let name = stored(&path, &digest);
            assert!(is_stored(&name) && name.len() < 100, "{name}");
        }
        for wrong in ["registry.toml", "notes.txt", "manifest.json", "journal/00000000000000000007.jsonl", "LOCK"] {
            assert!(!is_stored(wrong), "{wrong}");
        }
    }
}
