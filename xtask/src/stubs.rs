//! `cargo xtask stubs`: makes the images in `stubs/prebuilt` from their sources, or compares.

use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which compiler makes them: others would make other bytes.
const RUST: &str = "1.95.0";

/// Names of processors, as in `stubs/prebuilt`, the compiler's, and how addresses are computed: on AArch64 not from the
/// beginnings of pages, which images do not have to be at.
const TARGETS: [(&str, &str, &str); 3] = [
    ("x86_64", "x86_64-unknown-linux-gnu", "small"),
    ("i386", "i686-unknown-linux-gnu", "small"),
    ("aarch64", "aarch64-unknown-linux-gnu", "tiny"),
];

/// What to do.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Change nothing, and fail if they are not what the sources make.
    #[arg(long)]
    check: bool,
}

/// Makes or compares them. False if they differ.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool, String> {
    let mut is_same = true;
    for (name, target, code_model) in TARGETS {
        if options.check && !has_target(target) {
            eprintln!("stubs: {name} is NOT CHECKED: rustup cannot install {target} for Rust {RUST}");
            continue;
        }
        for image in build(root, target, code_model)? {
            let place = root.join("stubs/prebuilt").join(name).join(image.file_name().unwrap_or_default());
            let made = read(&image)?;
            if options.check {
                if read(&place).ok().as_ref() != Some(&made) {
                    eprintln!("stubs: {} is not what its sources make; run `cargo xtask stubs`", place.display());
                    is_same = false;
                }
                continue;
            }
            std::fs::create_dir_all(place.parent().unwrap_or(root))
                .and_then(|()| std::fs::write(&place, &made))
                .map_err(|error| format!("cannot write {}: {error}", place.display()))?;
            println!("{}: {} bytes", place.display(), made.len());
        }
    }
    Ok(is_same)
}

/// Installs what is missing of the compiler, if that can be done.
fn has_target(target: &str) -> bool {
    let add = Command::new("rustup").args(["target", "add", "--toolchain", RUST, target]).output();
    add.is_ok_and(|output| output.status.success())
}

/// Builds all stubs for a processor; where they are.
fn build(root: &Path, target: &str, code_model: &str) -> Result<Vec<PathBuf>, String> {
    let folder = root.join("stubs");
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("stubs");
    let code_model = format!("-Ccode-model={code_model}");
    let flags = [
        "-Clinker=rust-lld",
        "-Clinker-flavor=ld.lld",
        "-Crelocation-model=pic",
        "-Ctarget-feature=-crt-static",
        &code_model,
    ];
    let output = Command::new("rustup")
        .args(["run", RUST, "cargo", "build", "--quiet", "--locked", "--release", "--target", target])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &built)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .map_err(|error| format!("cannot run rustup: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "the stubs for {target} do not build:\n{}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let sources = folder.join("src/bin");
    let sources = std::fs::read_dir(&sources).map_err(|error| format!("cannot list {}: {error}", sources.display()))?;
    let names = sources.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_owned()));
    Ok(names.map(|name| built.join(target).join("release").join(name)).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
