//! Tests of the engine as a whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod dice;
mod parts;
mod torture;
mod world;
