//! Test support: data-driven cases, command-line snapshots, tools that may be missing.
//!
//! - [`Cases`] runs one function over every file of a folder and reports all differences at once.
//! - [`CliEnv`] runs a command in a cleared environment and renders what it said for a snapshot.
//! - [`Tool`] finds a program that a test needs, and says loudly when the test is skipped for want of it.
//! - [`OrdinaryUser`] runs things as a user without privileges when the tests themselves run as root.
//!
//! Environment: `NOPAL_BLESS=1` rewrites expectations, `NOPAL_TEST_NO_SKIP=1` turns a skip into a failure,
//! `NOPAL_TEST_SKIP_LOG=FILE` collects one line for every skipped test.

#![expect(clippy::panic, clippy::print_stderr, reason = "a test fails by panicking and talks on stderr")]

mod cases;
mod cli;
mod diff;
mod tool;
mod user;

pub use cases::{Case, Cases, Outcome};
pub use cli::CliEnv;
pub use diff::diff;
pub use tool::{Tool, skip};
pub use user::OrdinaryUser;

/// Whether expectations are to be rewritten instead of compared.
pub fn blessing() -> bool {
    std::env::var_os("NOPAL_BLESS").is_some_and(|value| !value.is_empty() && value != "0")
}
