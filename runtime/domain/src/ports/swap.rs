use std::sync::Arc;
use std::time::Duration;

use super::{Started, StateKeeper};
use crate::id::ComponentId;

/// How a unit is to take the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeOver {
    /// How long the running calls of a unit that remembers something are waited for.
    pub wait: Duration,
    /// Whether the first instance is made when it is called, unless the other unit has one.
    pub is_lazy: bool,
}

/// A unit that is ready to take the place of another, which is still in service. Calls that need what is being moved wait until this is
/// settled or dropped; dropped, the other unit goes on with them as if nothing had been.
pub trait Handover: Send {
    /// Returns what making the new instance took.
    fn started(&self) -> Started;

    /// Returns what the old instance remembered, where it was moved to the new one.
    fn state(&self) -> Option<Arc<[u8]>>;

    /// Ends it, once the old unit is out of its place: it takes no more calls, those that wait for it go to the new one, and what the
    /// component remembers is the new unit's from now on.
    fn settle(self: Box<Self>) -> Settled;

    /// Ends it as [`Self::settle`] does, but the old unit goes on, with its instances, in a place of its own: there it is called by those
    /// that need it. Calls that wait for it ask anew where they belong.
    fn leave_beside(self: Box<Self>, place: Beside) -> Settled;
}

/// What a unit is that goes on beside the one that took its place.
pub struct Beside {
    /// Its own id, [`ComponentId::beside`].
    pub id: ComponentId,
    /// Where it keeps what it remembers from now on; `None` keeps none.
    pub state: Option<Arc<dyn StateKeeper>>,
}

/// What was left when a unit had taken the place of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Calls that ran in the old unit at that moment.
    pub running: usize,
    /// For how long no call could begin; zero where nothing was moved.
    pub paused: Duration,
}

/// How long a unit that is out of its place goes on with what it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// After how long calls that still run are cancelled.
    pub calls: Duration,
    /// After how long instances end of which others still hold handles.
    pub handles: Duration,
}

impl Drain {
    /// Gives everything the same time.
    pub fn all(time: Duration) -> Self {
        Self { calls: time, handles: time }
    }
}

/// What a unit had to give up at the end of its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Calls that were cancelled.
    pub cancelled: usize,
    /// Instances of which others still held handles.
    pub held: usize,
}
