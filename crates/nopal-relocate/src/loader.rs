//! Which loader a file is for, and what that loader does.

use crate::tree::FileTree;
use std::collections::HashMap;
use std::rc::Rc;

use nopal_elf::Bytes as _;
use nopal_elf::read::{ByteOrder, Header, Image, machine};
use nopal_elf::resolve::{LdCache, LoaderConfig, LoaderFacts, Tree as _, platform, usual_interpreter};

/// What is taken in place of what a file says, and this machine is.
#[derive(Debug, Clone, Default)]
pub struct LoaderChoice {
    /// The loader.
    pub interpreter: Option<Vec<u8>>,
    /// Subdirectories of `glibc-hwcaps` that the processor can use, the best first.
    pub hwcaps: Option<Vec<Vec<u8>>>,
    /// Whether it takes resolution caches at their word.
    pub honours_notes: bool,
}

/// A loader, as far as it is known.
#[derive(Debug)]
pub struct Loader {
    /// Where it is, if the file names one or there is a usual one.
    pub path: Option<Vec<u8>>,
    /// Whether it is there.
    pub is_there: bool,
    /// What it does; nothing if it is none of glibc's.
    pub config: Option<LoaderConfig>,
}

/// Loaders have a quarter of a megabyte.
const MAX_LOADER_BYTES: u64 = 16 * 1024 * 1024;
/// Caches of systems with all packages of a distribution stay below this.
const MAX_CACHE_BYTES: u64 = 64 * 1024 * 1024;

impl LoaderChoice {
    /// The loader of a file.
    pub fn loader(&self, tree: &FileTree, image: &Image) -> Loader {
        let usual = || usual_interpreter(&image.header).map(|path| path.as_bytes().to_vec());
        let path = self.interpreter.clone().or_else(|| image.interpreter.clone()).or_else(usual);
        let Some(path) = path else { return Loader { path: None, is_there: false, config: None } };
        let bytes = read(tree, &path, MAX_LOADER_BYTES);
        let facts = bytes.as_deref().and_then(LoaderFacts::find);
        let config = facts.map(|facts| self.config(tree, &image.header, path.clone(), facts));
        Loader { path: Some(path), is_there: bytes.is_some(), config }
    }

    fn config(&self, tree: &FileTree, header: &Header, interpreter: Vec<u8>, facts: LoaderFacts) -> LoaderConfig {
        let legacy_subdirectories = facts.legacy_subdirectories(header.machine);
        let cache = facts.cache_path.and_then(|path| read(tree, &path, MAX_CACHE_BYTES));
        let own = || hwcaps(header).iter().map(|name| name.as_bytes().to_vec()).collect();
        LoaderConfig {
            interpreter,
            system_directories: facts.system_directories,
            lib: facts.lib,
            platform: platform(header.machine).map(<[u8]>::to_vec),
            hwcaps: self.hwcaps.clone().unwrap_or_else(own),
            legacy_subdirectories,
            // loaders go on without a cache that makes no sense
            cache: cache.and_then(|bytes| LdCache::parse(&bytes, header.byte_order()).ok()),
            honours_notes: self.honours_notes,
        }
    }
}

/// The configurations of loaders that were asked for before.
#[derive(Debug, Default)]
pub(crate) struct Loaders {
    known: HashMap<Key, Option<Rc<LoaderConfig>>>,
}

/// A loader's path, if the file names it, and a machine.
type Key = (Option<Vec<u8>>, u16);

impl Loaders {
    /// That of the loader of a file, if it is one of glibc's.
    pub(crate) fn config(&mut self, tree: &FileTree, choice: &LoaderChoice, image: &Image) -> Option<Rc<LoaderConfig>> {
        let key = (image.interpreter.clone(), image.header.machine);
        let read = || choice.loader(tree, image).config.map(Rc::new);
        self.known.entry(key).or_insert_with(read).clone()
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
