//! The engine against components in text.

mod calls;
mod code;
mod gates;
mod inspect;
mod lifecycle;
mod limits;
mod support;
