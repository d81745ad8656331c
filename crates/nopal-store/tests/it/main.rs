//! Tests of the store, each on a store of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod add;
mod additions;
mod addressed;
mod bad_input;
mod cache;
mod collect;
mod contents;
mod crash;
mod outputs;
mod queries;
mod support;
mod verify;
