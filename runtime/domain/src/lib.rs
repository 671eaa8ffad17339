//! What the product means: component ids, entries, the status machine, the dependency graph, activation
//! plans, limits, grants, failures and events.
//!
//! Everything here is pure: no I/O, no clock, no async runtime, no engine and no database. Time comes in as a
//! [`Timestamp`], bytes as slices; what has to reach the outside world is a trait in [`ports`], implemented by
//! the adapter crates. Start reading at [`entry`], then [`event`], [`graph`] and [`plan`].

pub mod activation;
mod as_text;
pub mod call;
pub mod callers;
pub mod capability;
pub mod digest;
pub mod document;
pub mod entry;
pub mod error;
pub mod event;
pub mod failure;
pub mod filter;
pub mod fusion;
pub mod grant;
pub mod graph;
pub mod id;
pub mod inspection;
pub mod interface;
pub mod limits;
pub mod lookalike;
pub mod manifest;
pub mod pattern;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod quota;
pub mod reduce;
pub mod resolve;
pub mod settings;
pub mod stats;
pub mod status;
pub mod suggest;
pub mod supervision;
pub mod text;
pub mod time;
pub mod units;
pub mod usage;
pub mod world;

pub use activation::{Activation, Bound};
pub use digest::Digest;
pub use entry::{Edge, EdgeKind, Entry, Revision, Unresolved};
pub use error::ErrorKind;
pub use event::{Actor, Event, Record};
pub use failure::{Failure, FailureKind, Phase};
pub use fusion::Fusion;
pub use grant::{Grant, GrantSet, Granted};
pub use id::{ComponentId, ComponentRef};
pub use interface::InterfaceName;
pub use limits::Limits;
pub use manifest::ComponentManifest;
pub use pattern::IdPattern;
pub use policy::Policy;
pub use semver::{Version, VersionReq};
pub use status::Status;
pub use time::Timestamp;
