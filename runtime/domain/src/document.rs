//! Reads the TOML files that people write, strictly: every key is known, every value has its type, and whatever is wrong
//! is named with its key and line.

use std::fmt::Display;
use std::str::FromStr;

use toml::de::{DeTable, DeValue};

use crate::error::ErrorKind;
use crate::suggest::nearest;
use crate::text::{escape_line, truncate};

/// Longest piece of the file that a message repeats, in bytes.
const SHOWN_MAX: usize = 80;

/// What is wrong with a file that a person wrote. Lines count from 1; texts from the file are bounded and escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The file is too large.
    #[error("the file has {size} bytes, at most {max} are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// The file is not TOML.
    #[error("line {line}, column {column}: {reason}")]
    Syntax {
        /// Where it stops being TOML.
        line: usize,
        /// Where in that line, in characters from 1.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// There is no such key.
    #[error("line {line}: unknown key `{key}`")]
    UnknownKey {
        /// The key with the tables it is in, for instance `limits.fule`.
        key: String,
        /// Where it stands.
        line: usize,
        /// The known key that is most like it, as it would have to be written in the same place.
        nearest: Option<String>,
        /// All keys that are known in the same place.
        known: Vec<&'static str>,
    },
    /// A key has a value of another type.
    #[error("line {line}: `{key}` must be {expected}, not {found}")]
    WrongType {
        /// The key with the tables it is in.
        key: String,
        /// Where it stands.
        line: usize,
        /// What it must be, with its article, for instance `a string`.
        expected: &'static str,
        /// What it is, with its article.
        found: &'static str,
    },
    /// A key that must be there is not.
    #[error("line {line}: `{key}` is missing")]
    Missing {
        /// The key with the tables it is in.
        key: String,
        /// Where the table begins that should have it.
        line: usize,
    },
    /// A value has the right type but cannot be used.
    #[error("line {line}: `{key}`: {reason}")]
    Invalid {
        /// The key with the tables it is in.
        key: String,
        /// Where it stands.
        line: usize,
        /// Why.
        reason: String,
    },
    /// There is more of something than allowed.
    #[error("line {line}: `{key}` has {count} {what}, at most {max} are allowed")]
    TooMuch {
        /// The key with the tables it is in.
        key: String,
        /// Where it stands.
        line: usize,
        /// Of what, for instance `characters`.
        what: &'static str,
        /// How much there is.
        count: usize,
        /// How much there may be.
        max: usize,
    },
}

impl DocumentError {
    /// Says whose turn it is: always the file's author.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// Returns the line that is wrong, `None` if the file as a whole is.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Syntax { line, .. }
            | Self::UnknownKey { line, .. }
            | Self::WrongType { line, .. }
            | Self::Missing { line, .. }
            | Self::Invalid { line, .. }
            | Self::TooMuch { line, .. } => Some(*line),
        }
    }

    /// Returns the key that is wrong with the tables it is in, where the error is about one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::TooLarge { .. } | Self::Syntax { .. } => None,
            Self::UnknownKey { key, .. }
            | Self::WrongType { key, .. }
            | Self::Missing { key, .. }
            | Self::Invalid { key, .. }
            | Self::TooMuch { key, .. } => Some(key),
        }
    }

    /// Returns what the reader can do about it, one sentence each; empty where the message says it all.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownKey { nearest: Some(nearest), .. } => vec![format!("did you mean `{nearest}`?")],
            Self::UnknownKey { known, .. } => vec![format!("known keys here: {}", known.join(", "))],
            Self::WrongType { expected: TEXT, found: "an integer" | "a float" | "a boolean" | "a date", .. } => {
                vec!["write it in quotes".to_owned()]
            }
            Self::TooLarge { .. }
            | Self::Syntax { .. }
            | Self::WrongType { .. }
            | Self::Missing { .. }
            | Self::Invalid { .. }
            | Self::TooMuch { .. } => Vec::new(),
        }
    }
}

/// How a message calls a string.
const TEXT: &str = "a string";

/// Parses `text` and reads it with `read`.
pub(crate) fn read<T>(
    text: &str,
    bytes_max: usize,
    read: impl FnOnce(Table<'_>) -> Result<T, DocumentError>,
) -> Result<T, DocumentError> {
    // Limit: the parser's memory is a multiple of the text.
    if text.len() > bytes_max {
        return Err(DocumentError::TooLarge { size: text.len(), max: bytes_max });
    }
    let root = DeTable::parse(text).map_err(|error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(text);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        DocumentError::Syntax { line: line_after(before), column, reason: shown(error.message()) }
    })?;
    read(Table { text, path: String::new(), offset: 0, entries: root.get_ref() })
}

fn line_after(before: &str) -> usize {
    before.bytes().filter(|byte| *byte == b'\n').count() + 1
}

/// Returns the line of a place in the text; only errors ask, since it reads all that is before.
fn line_at(text: &str, offset: usize) -> usize {
    line_after(text.get(..offset).unwrap_or_default())
}

/// Returns a piece of the file, bounded and on one line, for a message.
pub(crate) fn shown(text: &str) -> String {
    escape_line(&truncate(text, SHOWN_MAX)).into_owned()
}

/// A table of the file.
pub(crate) struct Table<'a> {
    text: &'a str,
    path: String,
    /// Where in the text the table begins, in bytes.
    offset: usize,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// Checks that there are no keys but `known`; the first other one in the file is the error.
    pub(crate) fn allow(&self, known: &[&'static str]) -> Result<(), DocumentError> {
        match self.items().into_iter().find(|item| !known.contains(&item.name)) {
            None => Ok(()),
            Some(item) => Err(DocumentError::UnknownKey {
                nearest: nearest(item.name, known.iter().copied()).map(str::to_owned),
                known: known.to_vec(),
                line: item.line(),
                key: item.path,
            }),
        }
    }

    /// Returns the item called `name`.
    pub(crate) fn get(&self, name: &str) -> Option<Item<'a>> {
        self.items().into_iter().find(|item| item.name == name)
    }

    /// Returns the item called `name`; its absence is an error.
    pub(crate) fn require(&self, name: &str) -> Result<Item<'a>, DocumentError> {
        self.get(name).ok_or_else(|| DocumentError::Missing {
            key: join(&self.path, name),
            line: line_at(self.text, self.offset),
        })
    }

    /// Returns all items in the order of the file.
    pub(crate) fn items(&self) -> Vec<Item<'a>> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let item =
            |(key, value): (&'a toml::Spanned<std::borrow::Cow<'a, str>>, &'a toml::Spanned<DeValue<'a>>)| Item {
                text: self.text,
                name: key.get_ref(),
                path: join(&self.path, key.get_ref()),
                offset: key.span().start,
                value: value.get_ref(),
            };
        entries.into_iter().map(item).collect()
    }

    /// Returns all items in the order of the file, at most `max`.
    pub(crate) fn items_bounded(&self, max: usize) -> Result<Vec<Item<'a>>, DocumentError> {
        let count = self.entries.len();
        if count > max {
            return Err(DocumentError::TooMuch {
                key: self.path.clone(),
                line: line_at(self.text, self.offset),
                what: "entries",
                count,
                max,
            });
        }
        Ok(self.items())
    }
}

fn join(path: &str, name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let name = if is_bare { name.to_owned() } else { format!("\"{}\"", shown(name)) };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// A value of the file with its key.
pub(crate) struct Item<'a> {
    text: &'a str,
    /// The key's last part, as it stands in the file.
    pub(crate) name: &'a str,
    path: String,
    /// Where in the text the key stands, in bytes.
    offset: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    fn line(&self) -> usize {
        line_at(self.text, self.offset)
    }

    /// Returns the value as the parser has it.
    pub(crate) fn value(&self) -> &'a DeValue<'a> {
        self.value
    }

    /// Returns the string.
    pub(crate) fn text(&self) -> Result<&'a str, DocumentError> {
        match self.value {
            DeValue::String(text) => Ok(text),
            _ => Err(self.wrong(TEXT)),
        }
    }

    /// Returns the string, which must not be empty, have a zero character, or be longer than `max` bytes.
    pub(crate) fn text_bounded(&self, max: usize) -> Result<&'a str, DocumentError> {
        let text = self.text()?;
        if text.trim().is_empty() {
            return Err(self.invalid("must not be empty"));
        }
        if text.contains('\0') {
            return Err(self.invalid("must not contain a zero character"));
        }
        self.check_length(text, max)?;
        Ok(text)
    }

    /// Checks that `text` has at most `max` bytes.
    pub(crate) fn check_length(&self, text: &str, max: usize) -> Result<(), DocumentError> {
        if text.len() > max { Err(self.too_much("bytes", text.len(), max)) } else { Ok(()) }
    }

    /// Returns what the string says.
    pub(crate) fn parse<T>(&self) -> Result<T, DocumentError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.text()?.parse().map_err(|error: T::Err| self.invalid(error))
    }

    /// Returns the boolean.
    pub(crate) fn boolean(&self) -> Result<bool, DocumentError> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// Returns the whole number, which must be at least 1.
    pub(crate) fn positive(&self) -> Result<u64, DocumentError> {
        let DeValue::Integer(integer) = self.value else { return Err(self.wrong("an integer")) };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => match u64::try_from(number) {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(self.invalid("must be at least 1")),
            },
            Err(_) if integer.as_str().starts_with('-') => Err(self.invalid("must be at least 1")),
            Err(_) => Err(self.invalid(format!("must be at most {}", i64::MAX))),
        }
    }

    /// Returns the table.
    pub(crate) fn table(&self) -> Result<Table<'a>, DocumentError> {
        match self.value {
            DeValue::Table(entries) => {
                Ok(Table { text: self.text, path: self.path.clone(), offset: self.offset, entries })
            }
            _ => Err(self.wrong("a table")),
        }
    }

    /// Returns the elements of the list, at most `max`.
    pub(crate) fn list(&self, max: usize) -> Result<Vec<Self>, DocumentError> {
        let DeValue::Array(array) = self.value else { return Err(self.wrong("a list")) };
        if array.len() > max {
            return Err(self.too_much("entries", array.len(), max));
        }
        let element = |(number, value): (usize, &'a toml::Spanned<DeValue<'a>>)| Self {
            text: self.text,
            name: self.name,
            path: format!("{}[{number}]", self.path),
            offset: value.span().start,
            value: value.get_ref(),
        };
        Ok(array.iter().enumerate().map(element).collect())
    }

    /// Makes the error that the value cannot be used.
    pub(crate) fn invalid(&self, reason: impl Display) -> DocumentError {
        DocumentError::Invalid { key: self.path.clone(), line: self.line(), reason: reason.to_string() }
    }

    /// Makes the error that there is more of something than allowed.
    pub(crate) fn too_much(&self, what: &'static str, count: usize, max: usize) -> DocumentError {
        DocumentError::TooMuch { key: self.path.clone(), line: self.line(), what, count, max }
    }

    /// Makes the error that the value has another type.
    pub(crate) fn wrong(&self, expected: &'static str) -> DocumentError {
        let found = match self.value {
            DeValue::String(_) => TEXT,
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        DocumentError::WrongType { key: self.path.clone(), line: self.line(), expected, found }
    }
}
