//! What a list of directories in a file means.

use super::config::LoaderConfig;
use super::tokens::{Tokens, directory_of, expand};
use super::tree::Tree;
use crate::read::Dynamic;

/// A directory of a run path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunPathEntry {
    /// As it stands in the file.
    pub text: Vec<u8>,
    /// What that means; nothing if a token stands for nothing that is known. Empty is the working directory.
    pub directory: Option<Vec<u8>>,
    /// Whether there is such a directory.
    pub is_there: bool,
}

/// The directories that a file has searched: those of `DT_RUNPATH`, or of `DT_RPATH` if it has none.
pub fn run_path<T: Tree>(tree: &T, file: &[u8], dynamic: &Dynamic, config: &LoaderConfig) -> Vec<RunPathEntry> {
    let Some(list) = dynamic.runpath.as_ref().or(dynamic.rpath.as_ref()) else { return Vec::new() };
    let path = tree.canonical(file).unwrap_or_else(|| tree.absolute(file));
    let tokens = Tokens::new(config, directory_of(&path));
    let entries = list.split(|byte| *byte == b':').map(|text| {
        let directory = expand(text, tokens);
        let is_there = directory.as_ref().is_some_and(|directory| directory.is_empty() || tree.is_dir(directory));
        RunPathEntry { text: text.to_vec(), directory, is_there }
    });
    entries.collect()
}
