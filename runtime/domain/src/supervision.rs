//! Watching over components: when one that fails is made anew, when it is no longer let do harm, and when it is tried again.
//!
//! Everything here is a function of values: failures come in with their times, the present moment and a draw of chance come in, and
//! what to do comes out. The registry asks, with its clock, and carries it out.
//!
//! - [`Backoff`] says how long to wait before the next attempt, and [`Budget`] whether there may be one.
//! - [`BreakerInForce::judge`] says when a component has failed so often that it is put in [`Quarantine`].
//! - [`Watch`] is what an entry remembers of it, so that it also holds for the next process.
//! - [`Pulse`] says when the health of a whole registry fell or rose.

mod backoff;
mod breaker;
mod budget;
mod lost;
mod pulse;
mod settings;
mod watch;

pub use backoff::{Backoff, JITTER_PERCENT};
pub use breaker::{BreakerInForce, Verdict};
pub use budget::Budget;
pub use lost::lost_with;
pub use pulse::{Beat, Pulse};
pub(crate) use settings::{BREAKER_KEYS, RESTART_KEYS, read_breaker, read_restart};
pub use settings::{
    BreakerSettings, FAILURES_COUNTED_MAX, RESTARTS_MAX, RestartInForce, RestartPolicy, RestartSettings,
    SUPERVISION_TIME_MAX_MS, SUPERVISION_TIME_MIN_MS,
};
pub use watch::{Quarantine, Relapse, Watch};
