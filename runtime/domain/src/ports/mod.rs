//! What the domain needs of the outside world, as traits in plain domain types.
//!
//! Adapters implement them (`storage`, `engine`, `capabilities`) and never see each other.

mod backup;
mod barrier;
mod blobs;
mod clock;
mod engine;
mod observer;
mod process;
mod state;
mod stop;
mod storage_error;
mod swap;
mod upkeep;

pub use backup::{
    ArchivePart, ArchivedComponent, ArchivedComponents, ArchivedRegistry, BackupError, BackupPlace, BackupReport,
};
pub use barrier::{Barrier, ProbeTurn};
pub use blobs::{BlobStore, CodeCache, CodeKey, CodeWriter, LINES_BYTES_MAX, REFUSAL_LIMITS_BYTES_MAX, Refusal};
pub use clock::Clock;
pub use engine::{
    CompileProgress, Engine, EngineError, FuseLink, FusePart, InstanceCount, InstancePolicy, InstanceState, Link,
    Serving, Slot, SourceError, Started, StateKeeper, Unit, UnitSource, UnitSpec,
};
pub use observer::{
    CallRecord, EngineObserver, Exhausted, GateUsage, GuestOutput, OutputLine, OutputSink, OutputStream,
};
pub use process::{FULL_PERCENT, Mappings, ProcessLimits, TIGHT_PERCENT};
pub use state::{
    Committed, Decision, Durability, DurabilityError, MeterStore, Provider, SettingsStore, StateStore, StateView,
};
pub use stop::Stop;
pub use storage_error::StorageError;
pub use swap::{Beside, Drain, Drained, Handover, Settled, TakeOver};
pub use upkeep::{
    AuditWindow, BlobCheck, BlobSweep, BlobsInUse, BytesProgress, Compacted, DIFFERENCES_MAX, DamagedBlob, Difference,
    Upkeep, Verified,
};

/// A boxed future that may be sent to another thread.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;
