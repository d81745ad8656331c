//! The program as people run it. Most tests are data: consoles in tests/cli and docs/manual/tour.md, with commands and
//! what they print.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

mod console;
mod consoles;
mod manual;
mod names;
mod parity;
mod wrap;
