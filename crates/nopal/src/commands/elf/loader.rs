//! How users say which loader to ask, and where.

use crate::error::CliError;
use clap::Args;
use nopal_elf::read::Image;
use nopal_elf::resolve::Environment;
use nopal_relocate::{FileTree, Loader, LoaderChoice};
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
        self.choice().loader(tree, image)
    }

    /// What the user would have in place of what files say.
    pub(super) fn choice(&self) -> LoaderChoice {
        let names = |names: &Vec<String>| {
            names.iter().filter(|name| !name.is_empty()).map(|name| name.clone().into_bytes()).collect()
        };
        LoaderChoice {
            interpreter: self.interpreter.as_ref().map(|path| path.as_bytes().to_vec()),
            hwcaps: self.hwcaps.as_ref().map(names),
            honours_notes: self.honour_notes,
        }
    }
}
