//! Keeps a registry live in one process and lets others use it through a socket in the data folder.
//!
//! HTTP with JSON over a Unix socket: a program sends the words of a command and gets back, frame by frame, what the command prints
//! and the code that it ends with. The crate knows how requests come and go, who may send them and how a server ends; what a command
//! does is somebody else's, who hands in a [`Runner`]. Start reading at [`protocol`], then [`serve`].

mod app;
mod client;
mod listen;
pub mod protocol;
mod threads;

pub use app::{Frames, FramesClosed, Interrupts, Runner, ServeOptions, Work, serve};
pub use client::{Client, ClientError};
pub use listen::{BindError, Listener, Peer, bind, notify_ready, notify_stopping, socket_path};
