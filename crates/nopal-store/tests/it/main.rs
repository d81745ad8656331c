//! Tests of the store, each on a store of its own.

mod add;
mod bad_input;
mod cache;
mod collect;
mod contents;
mod crash;
mod outputs;
mod queries;
mod support;
mod verify;
