//! What every test needs: a sandbox with its own data folder, the binary, and components made on the spot.

pub(crate) mod binary;
pub(crate) mod bombs;
pub(crate) mod generated;
pub(crate) mod sandbox;
pub(crate) mod wat;

pub(crate) use sandbox::{Ran, Sandbox};
