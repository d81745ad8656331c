//! Tests of every format: against what Nix made of the same inputs (`tests/data`, written by `generate.sh`), against
//! other implementations, and round trips of random values.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod derivation;
mod differential;
mod hash;
mod json;
mod nar;
mod nar_attacks;
mod narinfo;
mod properties;
mod realisation;
mod references;
mod store_path;

/// A file that `generate.sh` wrote.
fn data(name: &str) -> String {
    String::from_utf8(data_bytes(name)).unwrap()
}

fn data_bytes(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
