//! The Debian universe against small repositories made here: signed, altered, expired; packages that attack.

#![expect(clippy::unwrap_used, reason = "a failed test is the purpose of a test")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod expression;
mod online;
mod repositories;
mod repository;
mod resolver;
mod scripts;
mod trees;
mod versions;
