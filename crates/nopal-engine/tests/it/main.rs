//! Tests of the engine as a whole.

mod torture;
mod world;
