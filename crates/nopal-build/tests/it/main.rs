//! Builds in real sandboxes on real stores. The builders are scripts of a static shell, which is all that a sandbox
//! without a toolchain can hold; where there is none, the tests are skipped and say so.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::exit,
    reason = "a test fails by panicking; its children talk and exit as programs do"
)]

mod addressed;
mod attributes;
mod child;
mod fixture;
mod limits;
mod outputs;
mod processes;
mod run;
mod sandbox;
mod schedule;
