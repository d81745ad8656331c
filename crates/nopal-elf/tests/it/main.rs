//! Tests of editing, on small files of all classes and byte orders that are made up here.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod edits;
mod hostile;
mod sample;
