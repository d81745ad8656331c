//! Integration tests of the evaluator: one binary.

mod lang;
mod sets;
