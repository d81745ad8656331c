//! Downloads from a server on this machine that misbehaves on request; archives that attack.

mod archives;
mod downloads;
mod server;
