//! The operations on a registry: register, activate, call, deactivate and all the others.
//!
//! This is the only place that changes a registry's state, and the only API that edges call: a command, a handler or an
//! embedding program parses its input, calls one operation of [`Registry`] and renders the answer. The crate knows ports of
//! [`domain::ports`], never an adapter: no database, no engine, no terminal. Start reading at [`Registry`], then
//! `register.rs` and `activate.rs`.

mod activate;
mod beside;
mod breakable;
mod builder;
mod cache;
mod call;
mod commit;
mod deactivate;
mod depend;
mod difference;
mod discover;
mod error;
mod fuse;
mod grants;
mod hooks;
mod indexes;
mod instances;
mod kinds;
mod locks;
mod names;
mod parallel;
mod pins;
mod plan;
mod prune;
mod query;
mod quotas;
mod refusal;
mod register;
mod report;
mod retire;
mod settings;
mod source;
mod state_keeper;
mod statistics;
mod status;
mod supervise;
mod tracker;
mod transfer;
mod unregister;
mod upkeep;
mod versions;
mod view;
mod why;

pub use activate::{Switch, SwitchReport};
pub use breakable::Breakable;
pub use builder::{OnWarning, Registry, RegistryBuilder};
pub use call::InstanceHandle;
pub use difference::RevisionDiff;
pub use discover::{Below, Candidate, components_below};
pub use error::RegistryError;
pub use fuse::{FuseChange, FuseRefusal, FusedBy, FusedView, GrantSharing};
pub use grants::{EffectiveGrants, GrantChange, GrantRefusal, GrantedThrough, GrantsView};
pub use hooks::{ActivationHook, HookFuture, Reload};
pub use kinds::{ComponentFactory, KindProfile};
pub use names::Target;
pub use plan::{Broken, Change, ChangePlan, PlannedRevision, Reason, RelinkedEdge};
pub use prune::{PruneReport, Unused};
pub use query::{ImportSource, InspectReport};
pub use register::{RegisterOutcome, RegisterRequest, Registered};
pub use report::{ActivateReport, Activated, KeptBeside, Outcomes, Swapped};
pub use settings::SettingChange;
pub use source::{ComponentSource, ManifestSource};
pub use status::{DependencyFault, DependencyProblem, Probe};
pub use supervise::{BreakerState, SupervisionView};
pub use tracker::Tracker;
pub use transfer::{ExportReport, ImportReport, LeftOut, Relinked, TakeSettings};
pub use upkeep::{BlobFault, BlobReport, BlobUse};
pub use versions::{RevisionView, VersionsView};
pub use view::{BesideView, EdgeView, EntryView, GraphView, InstanceWord};
pub use why::{Chain, ImpactReport, Impacted, WhyReport};
