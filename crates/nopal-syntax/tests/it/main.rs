//! Tests of the language's front end.
//!
//! `lang.rs` runs the cases of `tests/lang/parse`, which are shared with `cargo xtask oracle` and so held against real
//! Nix; the other modules test what such a case cannot say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lang;
mod limits;
mod packed;
mod random;
mod report;
mod tree;
