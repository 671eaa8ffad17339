//! What guests get of the host.

mod guests;
mod support;
mod table;
