//! The operations on a registry with an engine that runs nothing and a store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected must fail, also in what tests share"
)]

mod activating;
mod beside;
mod caching;
mod calling;
mod changing;
mod concurrency;
mod dice;
mod durability;
mod edges;
mod fakes;
mod fusing;
mod granting;
mod machine;
mod model;
mod naming;
mod pruning;
mod races;
mod registering;
mod statuses;
mod supervising;
mod swapping;
mod transfer;
mod upkeep;
