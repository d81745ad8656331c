//! The `nopal` command.
fn main() {}
