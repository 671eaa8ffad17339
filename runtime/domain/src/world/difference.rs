//! What differs between two functions or types, in words and as a code.

use std::fmt;

/// Most differences that are named of one function or type.
pub const DIFFERENCES_MAX: usize = 8;

/// Something that keeps two types from being the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The function or type it is found in; `None` for the interface as a whole.
    pub item: Option<String>,
    /// Where in it, for instance ``parameter `entry`, field `at` ``; empty for all of it.
    pub place: String,
    /// What it is.
    pub kind: DifferenceKind,
}

/// What differs. Texts are WIT, as the binaries have them, bounded and not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The interface or function that is wanted is not exported.
    ExportMissing,
    /// A function and an interface cannot stand for each other.
    OtherSort,
    /// The function that is wanted is not there.
    FunctionMissing {
        /// Its type.
        wanted: String,
    },
    /// The resource that is wanted is not there.
    ResourceMissing,
    /// The type is not there any more.
    TypeMissing {
        /// What it was.
        wanted: String,
    },
    /// There is one more parameter.
    ParameterAdded {
        /// Its name.
        name: String,
        /// Its type.
        offered: String,
    },
    /// A parameter is gone.
    ParameterRemoved {
        /// Its name.
        name: String,
        /// Its type.
        wanted: String,
    },
    /// A parameter has another name, which keeps nobody from calling it.
    ParameterRenamed {
        /// The name before.
        wanted: String,
        /// The name now.
        offered: String,
    },
    /// It returns something now.
    ResultAdded {
        /// What.
        offered: String,
    },
    /// It does not return anything any more.
    ResultRemoved {
        /// What it returned.
        wanted: String,
    },
    /// Only one of both is `async`.
    Asynchrony {
        /// Whether the one that is wanted is.
        wanted: bool,
    },
    /// Another type.
    TypeChanged {
        /// The type that is wanted.
        wanted: String,
        /// The type that is there.
        offered: String,
    },
    /// A part was added.
    PartAdded {
        /// Of which sort.
        part: Part,
        /// Its name.
        name: String,
    },
    /// A part is gone.
    PartRemoved {
        /// Of which sort.
        part: Part,
        /// Its name.
        name: String,
    },
    /// The parts are the same in another order, which is another type.
    PartsReordered {
        /// Of which sort.
        part: Part,
    },
    /// It cannot be compared: why.
    Unreadable {
        /// Why, escaped and bounded.
        reason: String,
    },
}

/// What types with names are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Of a record.
    Field,
    /// Of a variant or enum.
    Case,
    /// Of flags.
    Flag,
}

impl Part {
    /// Returns the word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Case => "case",
            Self::Flag => "flag",
        }
    }
}

impl DifferenceKind {
    /// Tells differences apart, for programs: stable, kebab-case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ExportMissing => "export-missing",
            Self::OtherSort => "other-sort",
            Self::FunctionMissing { .. } => "function-missing",
            Self::ResourceMissing => "resource-missing",
            Self::TypeMissing { .. } => "type-missing",
            Self::ParameterAdded { .. } => "parameter-added",
            Self::ParameterRemoved { .. } => "parameter-removed",
            Self::ParameterRenamed { .. } => "parameter-renamed",
            Self::ResultAdded { .. } => "result-added",
            Self::ResultRemoved { .. } => "result-removed",
            Self::Asynchrony { .. } => "async-changed",
            Self::TypeChanged { .. } => "type-changed",
            Self::PartAdded { part: Part::Field, .. } => "field-added",
            Self::PartAdded { part: Part::Case, .. } => "case-added",
            Self::PartAdded { part: Part::Flag, .. } => "flag-added",
            Self::PartRemoved { part: Part::Field, .. } => "field-removed",
            Self::PartRemoved { part: Part::Case, .. } => "case-removed",
            Self::PartRemoved { part: Part::Flag, .. } => "flag-removed",
            Self::PartsReordered { .. } => "reordered",
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// Returns the type that is wanted, where the difference is between two types.
    pub fn wanted(&self) -> Option<&str> {
        match self {
            Self::FunctionMissing { wanted }
            | Self::TypeMissing { wanted }
            | Self::ParameterRemoved { wanted, .. }
            | Self::ResultRemoved { wanted }
            | Self::TypeChanged { wanted, .. } => Some(wanted),
            _ => None,
        }
    }

    /// Returns the type that is there instead.
    pub fn offered(&self) -> Option<&str> {
        match self {
            Self::ParameterAdded { offered, .. }
            | Self::ResultAdded { offered }
            | Self::TypeChanged { offered, .. } => Some(offered),
            _ => None,
        }
    }
}

impl fmt::Display for Difference {
    /// One sentence, without full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.item, self.place.is_empty()) {
            (Some(item), true) => write!(f, "`{item}` {}", self.kind),
            (Some(item), false) => write!(f, "`{item}`, {}: {}", self.place, self.kind),
            (None, true) => write!(f, "{}", self.kind),
            (None, false) => write!(f, "{}: {}", self.place, self.kind),
        }
    }
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExportMissing => f.write_str("it is not exported"),
            Self::OtherSort => f.write_str("one is a function and the other an interface"),
            Self::FunctionMissing { wanted } => write!(f, "is missing: `{wanted}`"),
            Self::ResourceMissing => f.write_str("is missing: a resource"),
            Self::TypeMissing { wanted } => write!(f, "is missing: `{wanted}`"),
            Self::ParameterAdded { name, offered } => write!(f, "has one more parameter, `{name}: {offered}`"),
            Self::ParameterRemoved { name, wanted } => write!(f, "has no parameter `{name}: {wanted}`"),
            Self::ParameterRenamed { wanted, offered } => write!(f, "calls the parameter `{wanted}` now `{offered}`"),
            Self::ResultAdded { offered } => write!(f, "returns `{offered}` and returned nothing"),
            Self::ResultRemoved { wanted } => write!(f, "returns nothing, and `{wanted}` is wanted"),
            Self::Asynchrony { wanted: true } => f.write_str("is not async"),
            Self::Asynchrony { wanted: false } => f.write_str("is async"),
            Self::TypeChanged { wanted, offered } => write!(f, "is `{offered}`, and `{wanted}` is wanted"),
            Self::PartAdded { part, name } => write!(f, "the {} `{name}` was added", part.as_str()),
            Self::PartRemoved { part, name } => write!(f, "the {} `{name}` is gone", part.as_str()),
            Self::PartsReordered { part } => write!(f, "its {}s have another order", part.as_str()),
            Self::Unreadable { reason } => write!(f, "cannot be compared: {reason}"),
        }
    }
}
