//! Downloads from a server on this machine that misbehaves on request; archives that attack.

#![expect(clippy::unwrap_used, reason = "a failed test is the purpose of a test")]

mod archives;
mod downloads;
mod server;
