//! Which loader a file is for, and what that loader would do on this machine.

use super::tree::FileTree;
use crate::error::CliError;
use clap::Args;
use nopal_elf::Bytes as _;
use nopal_elf::read::{ByteOrder, Header, Image, machine};
use nopal_elf::resolve::{Environment, LdCache, LoaderConfig, LoaderFacts, Tree as _, platform, usual_interpreter};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// How libraries are looked for
#[derive(Args, Debug)]
pub(super) struct LoaderArgs {
    /// Folder that stands for `/`: paths, links and libraries are looked for below it
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Loader to take, in place of the one that the file names; for libraries, which name none, the usual one of their
    /// machine
    #[arg(long, value_name = "PATH")]
    interpreter: Option<OsString>,
    /// Directories as in `LD_LIBRARY_PATH`, which itself is not looked at
    #[arg(long, value_name = "DIRS")]
    library_path: Option<OsString>,
    /// Libraries as in `LD_PRELOAD`, which itself is not looked at
    #[arg(long, value_name = "LIBS")]
    preload: Option<OsString>,
    /// Subdirectories of `glibc-hwcaps` that the processor can use, the best first, such as `x86-64-v3,x86-64-v2`.
    /// Default: those of this machine, if the file is for such a one
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    hwcaps: Option<Vec<String>>,
    /// Take notes of where libraries are (`.note.nixos.ldcache`) at their word, as a patched glibc does
    #[arg(long)]
    honour_notes: bool,
}

/// A loader, as far as it is known.
pub(super) struct Loader {
    /// Where it is, if the file names one or there is a usual one.
    pub(super) path: Option<Vec<u8>>,
    /// Whether it is there.
    pub(super) is_there: bool,
    /// What it does; nothing if it is none of glibc's.
    pub(super) config: Option<LoaderConfig>,
}

/// Loaders have a quarter of a megabyte.
const MAX_LOADER_BYTES: u64 = 16 * 1024 * 1024;
/// Caches of systems with all packages of a distribution stay below this.
const MAX_CACHE_BYTES: u64 = 64 * 1024 * 1024;

impl LoaderArgs {
    /// The files among which libraries are looked for.
    pub(super) fn tree(&self, working_dir: &std::path::Path) -> Result<FileTree, CliError> {
        let root = self.root.as_ref().map(|root| nopal_fs::canonicalize(&working_dir.join(root))).transpose()?;
        Ok(FileTree::new(root, working_dir.to_owned()))
    }

    /// What the user would have set.
    pub(super) fn environment(&self) -> Environment {
        let preload = self.preload.as_ref().map(|names| Environment::split_preload(names.as_bytes()).collect());
        Environment {
            library_path: self.library_path.as_ref().map(|list| list.as_bytes().to_vec()),
            preload: preload.unwrap_or_default(),
        }
    }

    /// The loader of a file.
    pub(super) fn loader(&self, tree: &FileTree, image: &Image) -> Loader {
        let named = self.interpreter.as_ref().map(|path| path.as_bytes().to_vec());
        let usual = || usual_interpreter(&image.header).map(|path| path.as_bytes().to_vec());
        let Some(path) = named.or_else(|| image.interpreter.clone()).or_else(usual) else {
            return Loader { path: None, is_there: false, config: None };
        };
        let bytes = read(tree, &path, MAX_LOADER_BYTES);
        let facts = bytes.as_deref().and_then(LoaderFacts::find);
        let config = facts.map(|facts| self.config(tree, &image.header, path.clone(), facts));
        Loader { path: Some(path), is_there: bytes.is_some(), config }
    }

    fn config(&self, tree: &FileTree, header: &Header, interpreter: Vec<u8>, facts: LoaderFacts) -> LoaderConfig {
        let legacy_subdirectories = facts.legacy_subdirectories(header.machine);
        let cache = facts.cache_path.and_then(|path| read(tree, &path, MAX_CACHE_BYTES));
        LoaderConfig {
            interpreter,
            system_directories: facts.system_directories,
            lib: facts.lib,
            platform: platform(header.machine).map(<[u8]>::to_vec),
            hwcaps: match &self.hwcaps {
                Some(names) => names.iter().filter(|name| !name.is_empty()).map(|name| name.clone().into()).collect(),
                None => hwcaps(header).iter().map(|name| name.as_bytes().to_vec()).collect(),
            },
            legacy_subdirectories,
            // loaders go on without a cache that makes no sense
            cache: cache.and_then(|bytes| LdCache::parse(&bytes, header.byte_order()).ok()),
            honours_notes: self.honour_notes,
        }
    }
}

/// All of a file, if it is there and not too large.
fn read(tree: &FileTree, path: &[u8], limit_bytes: u64) -> Option<Vec<u8>> {
    let file = tree.open(path).ok()?.file;
    let size_bytes = Some(file.len()).filter(|size_bytes| *size_bytes <= limit_bytes)?;
    let mut bytes = vec![0; usize::try_from(size_bytes).ok()?];
    file.read_at(0, &mut bytes).ok()?;
    Some(bytes)
}

/// Subdirectories of `glibc-hwcaps` that this processor can use, if a file is for such a one.
fn hwcaps(header: &Header) -> &'static [&'static str] {
    if header.machine != machine::X86_64 || header.byte_order() != ByteOrder::Little {
        return &[];
    }
    const LEVELS: [&str; 3] = ["x86-64-v4", "x86-64-v3", "x86-64-v2"];
    &LEVELS[LEVELS.len() - x86_64_level()..]
}

/// How many levels above the first the processor has.
#[cfg(target_arch = "x86_64")]
fn x86_64_level() -> usize {
    macro_rules! has {
        ($($feature:tt)*) => { $(is_x86_feature_detected!($feature))&&* };
    }
    let levels = [
        has!("cmpxchg16b" "popcnt" "sse3" "ssse3" "sse4.1" "sse4.2"),
        has!("avx" "avx2" "bmi1" "bmi2" "f16c" "fma" "lzcnt" "movbe"),
        has!("avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl"),
    ];
    levels.iter().take_while(|has| **has).count()
}

/// How many levels above the first the processor has.
#[cfg(not(target_arch = "x86_64"))]
fn x86_64_level() -> usize {
    0
}
