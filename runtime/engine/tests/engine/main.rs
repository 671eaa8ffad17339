//! The engine against components in text.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails at once")]

mod calls;
mod code;
mod composing;
mod differential;
mod gates;
mod inspect;
mod instances;
mod lifecycle;
mod limits;
mod lines;
mod random_types;
mod resources;
mod support;
mod swapping;
mod workers;
mod worlds;
