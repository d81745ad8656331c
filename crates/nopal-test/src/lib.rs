//! Test support: data-driven cases, command-line snapshots, tools that may be missing.
