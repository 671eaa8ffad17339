//! Source lines of guests: which file and line an instruction was made of, for backtraces.
//!
//! A binary may say so in DWARF, in the sections `.debug_*`. That is a format for tools that trust what they read: a few hundred bytes of
//! it can name the same megabyte again and again. So it is read once, when the component is compiled, where that happens (`make`, in a
//! worker), with a bound on the steps that it may take ([`work`]), and what comes of it is a small sorted [`table`] that is kept beside the
//! native code. A failure looks its frames up there ([`kept`]); nothing parses DWARF while a component runs.
//!
//! Whatever goes wrong with it, the component is compiled and runs: frames without a line are all that is lost.

mod kept;
mod make;
mod names;
mod table;
mod unit;
mod work;

pub(crate) use kept::{Room, SourceLines};
pub(crate) use make::{are_there, make};
pub(crate) use table::{Spot, Table};
