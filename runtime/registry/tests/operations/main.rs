//! The operations on a registry with an engine that runs nothing and a store in memory.

mod activating;
mod calling;
mod concurrency;
mod edges;
mod fakes;
mod naming;
mod registering;
mod statuses;
