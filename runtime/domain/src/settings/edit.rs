//! Changes one setting in the text of the file and leaves everything else as it was, comments included.

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::Settings;
use super::keys::{self, Shape};
use crate::document::{DocumentError, shown};
use crate::error::ErrorKind;

/// What is wrong with the settings, or with a change of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read, or could not be read after the change.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// There is no such setting.
    #[error("there is no setting `{key}`")]
    UnknownSetting {
        /// What was given, bounded and escaped.
        key: String,
        /// The setting that is most like it.
        nearest: Option<String>,
    },
    /// The setting cannot have this value.
    #[error("`{key}` cannot be `{value}`: {reason}")]
    BadValue {
        /// The setting.
        key: String,
        /// The value, bounded and escaped.
        value: String,
        /// Why.
        reason: String,
    },
}

impl SettingsError {
    /// Says whose turn it is: always the settings' author.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// Returns what the reader can do about it, one sentence each; empty where the message says it all.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Document(error) => error.hints(),
            Self::UnknownSetting { nearest: Some(nearest), .. } => vec![format!("did you mean `{nearest}`?")],
            Self::UnknownSetting { nearest: None, .. } => {
                vec!["`runtime settings` shows them all".to_owned()]
            }
            Self::BadValue { .. } => Vec::new(),
        }
    }
}

impl Settings {
    /// Checks that there is a setting of this name, set or not.
    ///
    /// # Errors
    /// [`SettingsError::UnknownSetting`] names the nearest one.
    pub fn check_key(key: &str) -> Result<(), SettingsError> {
        place(key).map(|_| ())
    }

    /// Returns `text`, a settings file, with `key` set to `value`; everything else stays as it was.
    ///
    /// `value` is TOML; a string may lack its quotes, a list of strings its brackets and quotes.
    ///
    /// # Errors
    /// [`SettingsError`] if `text` is not a settings file, there is no such key, or it cannot have this value.
    pub fn set(text: &str, key: &str, value: &str) -> Result<String, SettingsError> {
        let place = place(key)?;
        let mut document = open(text)?;
        let value_item = shaped(value, place.shape);
        let conflict = || SettingsError::BadValue {
            key: shown(key),
            value: shown(value),
            reason: "one of the tables it belongs in is not a table".to_owned(),
        };
        let (name, tables) = place.path.split_last().ok_or_else(conflict)?;
        let table = descend(document.as_table_mut(), tables).ok_or_else(conflict)?;
        match table.get_mut(name).and_then(Item::as_value_mut) {
            // The old value's decor is the comment behind it.
            Some(old) => {
                let decor = old.decor().clone();
                *old = value_item;
                *old.decor_mut() = decor;
            }
            None => {
                table.insert(name, Item::Value(value_item));
            }
        }
        let changed = document.to_string();
        match Self::parse(&changed) {
            Ok(_) => Ok(changed),
            Err(SettingsError::Document(error)) => Err(bad_value(key, value, error)),
            Err(error) => Err(error),
        }
    }

    /// Returns `text`, a settings file, without `key`, so that its default is in force; everything else stays as it was.
    ///
    /// # Errors
    /// [`SettingsError`] if `text` is not a settings file, or there is no such key.
    pub fn unset(text: &str, key: &str) -> Result<String, SettingsError> {
        let place = place(key)?;
        let mut document = open(text)?;
        let Some((name, tables)) = place.path.split_last() else { return Ok(text.to_owned()) };
        let mut table: Option<&mut dyn TableLike> = Some(document.as_table_mut());
        for part in tables {
            table = table.and_then(|table| table.get_mut(part)?.as_table_like_mut());
        }
        match table.and_then(|table| table.remove(name)) {
            Some(_) => Ok(document.to_string()),
            None => Ok(text.to_owned()),
        }
    }
}

fn place(key: &str) -> Result<keys::Place, SettingsError> {
    keys::find(key).map_err(|nearest| SettingsError::UnknownSetting { key: shown(key), nearest })
}

fn open(text: &str) -> Result<DocumentMut, SettingsError> {
    // What cannot be read must not be written back either, so the strict reader goes first.
    Settings::parse(text)?;
    text.parse::<DocumentMut>().map_err(|error| {
        let reason = shown(error.message());
        SettingsError::Document(DocumentError::Syntax { line: 1, column: 1, reason })
    })
}

/// Makes the value of a setting from what was typed.
fn shaped(text: &str, shape: Shape) -> Value {
    let plain = || Value::from(text);
    let Ok(value) = text.trim().parse::<Value>() else {
        return match shape {
            Shape::Texts => split(text),
            Shape::Flag | Shape::Number | Shape::Text | Shape::TextOrNumber | Shape::Tables => plain(),
        };
    };
    match (shape, &value) {
        (Shape::Text, Value::String(_)) | (Shape::Texts, Value::Array(_)) => value,
        (Shape::Text, _) => plain(),
        (Shape::Texts, _) => split(text),
        (Shape::Flag | Shape::Number | Shape::TextOrNumber | Shape::Tables, _) => value,
    }
}

fn split(text: &str) -> Value {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    Value::Array(parts.map(|part| part.trim_matches('"')).collect())
}

fn descend<'a>(root: &'a mut toml_edit::Table, path: &[String]) -> Option<&'a mut dyn TableLike> {
    let mut table: &mut dyn TableLike = root;
    for (depth, part) in path.iter().enumerate() {
        if table.get(part).is_none() {
            let mut new = toml_edit::Table::new();
            // A table that only holds others, such as `kinds`, needs no heading of its own.
            new.set_implicit(depth + 1 < path.len());
            table.insert(part, Item::Table(new));
        }
        table = table.get_mut(part)?.as_table_like_mut()?;
    }
    Some(table)
}

/// Says what is wrong with the value without a line: the reader of the message has not seen the changed file.
fn bad_value(key: &str, value: &str, error: DocumentError) -> SettingsError {
    let reason = match error {
        DocumentError::Invalid { reason, .. } => reason,
        DocumentError::WrongType { expected, found, .. } => format!("it must be {expected}, not {found}"),
        DocumentError::TooMuch { what, count, max, .. } => format!("it has {count} {what}, at most {max} are allowed"),
        DocumentError::UnknownKey { key, .. } => format!("unknown key `{key}`"),
        DocumentError::Missing { key, .. } => format!("`{key}` is missing"),
        error @ (DocumentError::TooLarge { .. } | DocumentError::Syntax { .. }) => error.to_string(),
    };
    SettingsError::BadValue { key: shown(key), value: shown(value), reason }
}
