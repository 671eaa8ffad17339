//! Opens a registry on a folder: the one place that names the concrete adapters.
//!
//! What a Rust program depends on to have a registry inside it:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // Elsewhere, as the first line of `main`: embed::run_compile_worker_if_asked();
//! use domain::call::{CallExpression, CallRequest};
//! use embed::{OpenOptions, RegisterRequest, Target};
//!
//! let registry = embed::open("data".as_ref(), OpenOptions::default()).await?;
//! let registered = registry.register(RegisterRequest::path("greeter.wasm")).await?;
//! let id = registered.entry.entry.id.clone();
//! registry.activate(&[Target::from(&id)]).await;
//! let call = CallRequest { expression: CallExpression::Wave("greet(\"Ada\")".into()), ..CallRequest::default() };
//! println!("{}", registry.call(&id, call).await?.wave);
//! registry.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! It must not hold logic of its own: operations are in `registry`, adapters in `storage`, `engine` and
//! `capabilities`. The folder `examples/` has eight programs to start from.

mod clock;
mod compile;
mod engine;
mod open;
mod output;
mod process;

pub use clock::SystemClock;
pub use compile::{CompileIn, run_compile_worker_if_asked};
pub use domain;
pub use open::{OpenError, OpenOptions, open};
pub use registry::{
    ActivateReport, Activated, BlobFault, BlobReport, BlobUse, Breakable, BreakerState, Broken, Candidate, Chain,
    Change, ChangePlan, ComponentFactory, ComponentSource, DependencyFault, DependencyProblem, EdgeView, EntryView,
    ExportReport, FuseChange, FuseRefusal, FusedBy, FusedView, GrantSharing, GraphView, ImpactReport, Impacted,
    ImportReport, ImportSource, InspectReport, InstanceHandle, InstanceWord, KindProfile, LeftOut, ManifestSource,
    OnWarning, Outcomes, PlannedRevision, Probe, PruneReport, Reason, RegisterOutcome, RegisterRequest, Registered,
    Registry, RegistryBuilder, RegistryError, Relinked, RelinkedEdge, Reload, RevisionDiff, RevisionView,
    SettingChange, SupervisionView, Switch, SwitchReport, TakeSettings, Target, Unused, VersionsView, WhyReport,
};
pub use storage::{
    LostRecords, RepairOptions, Repaired, RestoreOptions, RestoreReport, ScrubOptions, repair, restore, verify,
    verify_blobs,
};

/// The programs in the guide to embedding have to compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct EmbeddingGuide;
