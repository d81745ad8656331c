//! Tests of editing, on small files of all classes and byte orders that are made up here.

mod edits;
mod hostile;
mod sample;
