//! Links the stubs to flat images.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rerun-if-changed=flat.ld");
    for argument in ["-pie", "--no-dynamic-linker", "--oformat=binary", &format!("-T{folder}/flat.ld")] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
