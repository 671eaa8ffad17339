//! What guests get of the host.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails at once")]

mod grants;
mod guests;
mod support;
mod table;
mod waiting;
