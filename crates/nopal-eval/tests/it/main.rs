//! Integration tests of the evaluator: one binary.

mod dynamic;
mod lang;
mod parallel;
mod sets;
mod sources;
