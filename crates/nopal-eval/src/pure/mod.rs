//! Algorithms behind builtins that know nothing of values: regular expressions, JSON, TOML, number formats,
//! versions, paths, sorting, text replacement, suggestions.
//!
//! Everything here works on bytes and plain numbers, is deterministic, performs no I/O and never panics on any
//! input. What Nix prints, these functions print byte for byte; where a rule comes from a library that Nix is built
//! with (libstdc++'s `std::regex`, nlohmann's JSON, toml11), the module names that library.

pub mod date;
mod grisu;
pub mod json_read;
pub mod json_write;
pub mod number;
pub mod path;
pub mod regex;
pub mod sort;
pub mod suggest;
pub mod text;
pub mod toml;
pub mod tree;
pub mod version;
pub mod xml;
