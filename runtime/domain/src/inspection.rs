//! What can be known of a component binary without running it.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::interface::InterfaceName;

/// One import or export of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternItem {
    /// The name in the binary, for instance `demo:log/sink@0.1.0` or `run`.
    pub name: String,
    /// What it is.
    pub kind: ExternKind,
}

impl ExternItem {
    /// Returns the interface's name, if this is an interface with a name of that form.
    pub fn interface(&self) -> Option<InterfaceName> {
        match self.kind {
            ExternKind::Interface | ExternKind::TypesOnly => self.name.parse().ok(),
            ExternKind::Function | ExternKind::Other => None,
        }
    }
}

/// What an import or export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExternKind {
    /// An interface with functions or resources.
    Interface,
    /// A type, or an interface that only names types: nothing has to provide it.
    TypesOnly,
    /// A function outside any interface.
    Function,
    /// A resource outside any interface, a module, component or value.
    Other,
}

/// How much of something a component has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Of what, for instance `functions`.
    pub what: String,
    /// How much.
    pub count: u64,
    /// The most that may be.
    pub max: u64,
}

/// One function that a component exports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSignature {
    /// The interface it is in, `None` for a function of the world itself.
    pub interface: Option<String>,
    /// Its name.
    pub name: String,
    /// Its type as WIT text, for instance `func(a: u32, b: u32) -> result<u32, string>`.
    pub wit: String,
}

impl FunctionSignature {
    /// Returns the unambiguous name: `ns:pkg/iface@1.0.0#func`, or `func`.
    pub fn qualified(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{interface}#{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// What a binary says of itself. Everything is bounded; texts are as the binary has them, not escaped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The identity of the bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// What the component needs.
    pub imports: Vec<ExternItem>,
    /// What it offers.
    pub exports: Vec<ExternItem>,
    /// The functions it exports.
    pub functions: Vec<FunctionSignature>,
    /// The name from the binary's metadata.
    pub name: Option<String>,
    /// The version from the binary's metadata, where it is semver.
    pub version: Option<Version>,
    /// The description from the binary's metadata.
    pub description: Option<String>,
    /// Other metadata: authors, licenses, source, homepage, revision, and producers (`language`, `processed-by`, `sdk`).
    pub metadata: BTreeMap<String, String>,
    /// How much there is of what costs a compiler more than its bytes, and how much there may be.
    #[serde(default)]
    pub counts: Vec<Count>,
}
