//! Every console file has its test; a file without one fails [`every_console_is_run`].

use crate::console::check;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Declares a test for each file of tests/cli, so that they run beside each other and fail by name.
macro_rules! consoles {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(&root().join(concat!("tests/cli/", stringify!($name), ".md")));
            }
        )*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

consoles! {
    bad_input
    build
    develop
    elf_fast
    elf_bind
    elf_show
    eval
    eval_cache
    fetch
    flakes
    mercurial
    nix
    nix_names
    nix_store
    observe
    parse_cache
    patchelf
    relocate
    relocate_places
    relocate_rungs
    relocate_stores
    repl
    store
    wrap
}

#[test]
fn tour() {
    check(&root().join("docs/manual/tour.md"));
}

#[test]
fn every_console_is_run() {
    for entry in std::fs::read_dir(root().join("tests/cli")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(NAMES.contains(&name.as_str()), "{} is run by no test; name it in consoles.rs", path.display());
    }
}
