//! (crate documentation follows)
