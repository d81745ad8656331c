//! One file for each command: its flags, whose comments are the manual, and one function.

pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod derivation;
pub(crate) mod doctor;
pub(crate) mod elf;
pub(crate) mod eval;
pub(crate) mod flake;
pub(crate) mod import;
pub(crate) mod installables;
pub(crate) mod instantiate;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod pack;
pub(crate) mod relocate;
pub(crate) mod repl;
pub(crate) mod run;
pub(crate) mod store;
pub(crate) mod wrap;
