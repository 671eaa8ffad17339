//! Which entries somebody wants to see.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::entry::Entry;
use crate::manifest::Kind;
use crate::reduce::metadata_values;
use crate::status::Status;

/// Fewest digits of an abbreviated digest.
pub const DIGEST_DIGITS_MIN: usize = 8;

/// Longest key of a condition, in bytes.
pub const KEY_MAX: usize = 256;

/// Conditions on entries; all that are set have to hold, none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only this status.
    pub status: Option<Status>,
    /// Only healthy entries, or only those that are not.
    pub healthy: Option<bool>,
    /// Only entries registered from this file: the path as the revision keeps it, absolute.
    pub path: Option<String>,
    /// Further conditions.
    pub conditions: Vec<Condition>,
}

impl Filter {
    /// Tells whether nothing is asked for, so that every entry matches.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Tells whether `entry` meets every condition.
    pub fn matches(&self, entry: &Entry) -> bool {
        self.kind.as_ref().is_none_or(|kind| entry.revision.kind() == *kind)
            && self.status.is_none_or(|status| entry.status == status)
            && self.healthy.is_none_or(|healthy| entry.is_healthy() == healthy)
            && self.path.as_ref().is_none_or(|path| entry.revision.path.as_ref() == Some(path))
            && self.conditions.iter().all(|condition| condition.matches(entry))
    }
}

/// One condition `key=value`.
///
/// The keys `version`, `digest`, `kind` and `status` look at the entry; a digest may lack its `sha256:` and be cut to
/// [`DIGEST_DIGITS_MIN`] digits. Every other key looks at the metadata: dots lead into tables, a list matches by each of its
/// elements. `metadata.` before a key reaches metadata that is called as one of the four.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What to look at.
    pub key: String,
    /// What it has to be, exactly.
    pub value: String,
}

impl Condition {
    /// Tells whether `entry` meets the condition.
    pub fn matches(&self, entry: &Entry) -> bool {
        let revision = &entry.revision;
        match self.key.as_str() {
            "version" => revision.version.to_string() == self.value,
            "digest" => {
                let digits = self.value.strip_prefix("sha256:").unwrap_or(&self.value);
                digits.len() >= DIGEST_DIGITS_MIN && revision.digest.to_hex().starts_with(digits)
            }
            "kind" => revision.kind().as_str() == self.value,
            "status" => entry.status.as_str() == self.value,
            key => {
                let key = key.strip_prefix("metadata.").unwrap_or(key);
                let found = lookup(&revision.manifest.metadata, key);
                metadata_values(found).contains(&self.value)
            }
        }
    }
}

/// Finds the value of a dotted key; a key that itself has dots is found before what the dots would lead to.
fn lookup<'a>(metadata: &'a std::collections::BTreeMap<String, Value>, key: &str) -> Option<&'a Value> {
    if let Some(value) = metadata.get(key) {
        return Some(value);
    }
    let mut parts = key.split('.');
    let mut value = metadata.get(parts.next()?)?;
    for part in parts {
        value = value.as_object()?.get(part)?;
    }
    Some(value)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// The text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a condition: write key=value, for instance `author=Acme`")]
pub struct ConditionError {
    /// What was given, bounded and escaped.
    text: String,
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() && key.len() <= KEY_MAX => {
                Ok(Self { key: key.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err(ConditionError { text: crate::text::escape_line(&crate::text::truncate(text, 80)).into_owned() }),
        }
    }
}
