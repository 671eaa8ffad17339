//! Patterns of component ids: one id, all of a namespace, or all.

use std::fmt;
use std::str::FromStr;

use crate::id::{ComponentId, IdError};

/// Which components are meant: `acme:log`, `acme:*` or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdPattern {
    /// Every component.
    Any,
    /// All of a namespace.
    Namespace(String),
    /// One component.
    One(ComponentId),
}

impl IdPattern {
    /// Tells whether `id` is one of those meant, or a revision beside one of them.
    pub fn matches(&self, id: &ComponentId) -> bool {
        match self {
            Self::Any => true,
            Self::Namespace(namespace) => id.namespace() == namespace,
            Self::One(one) => one.is_same_entry(id),
        }
    }

    /// Writes patterns one after the other for a message; nobody if there are none.
    pub fn list(patterns: &[Self]) -> String {
        match patterns {
            [] => "nobody".to_owned(),
            patterns => patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }
    }
}

impl FromStr for IdPattern {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.strip_suffix(":*") {
            _ if text == "*" => Ok(Self::Any),
            // The namespace of an id that would be one.
            Some(namespace) => Ok(Self::Namespace(ComponentId::new(namespace, "x")?.namespace().to_owned())),
            None => Ok(Self::One(text.parse()?)),
        }
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Namespace(namespace) => write!(f, "{namespace}:*"),
            Self::One(id) => fmt::Display::fmt(id, f),
        }
    }
}

crate::as_text::as_text!(IdPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_one_a_namespace_or_all() {
        let matches = |pattern: &str, id: &str| pattern.parse::<IdPattern>().unwrap().matches(&id.parse().unwrap());
        assert!(matches("acme:log", "acme:log") && !matches("acme:log", "acme:logs"));
        assert!(matches("acme:*", "acme:log") && !matches("acme:*", "acme2:log"));
        assert!(matches("*", "x:y"));
        for text in ["", "acme", "acme:", "acme:l*", "*:log", ":*", "ACME:*"] {
            assert!(text.parse::<IdPattern>().is_err(), "{text}");
        }
    }
}
