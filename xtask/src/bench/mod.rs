//! `cargo xtask bench`: ours and Nix (or patchelf) in one run, taking turns, CPU time and memory, medians.

mod build;
mod corpora;
mod elf;
mod eval;
mod measure;
mod profile;
mod start;
mod store;

pub(crate) use measure::watch;

use crate::nix::{Build, Nix};
use clap::ValueEnum;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// What to measure and against what.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to measure; everything by default.
    what: Vec<What>,
    /// Words that start a Nix, before its programs' names. Default: the Nix in PATH, if there is one.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    peer: Option<String>,
    /// Measure ours only.
    #[arg(long, conflicts_with = "peer")]
    no_peer: bool,
    /// Folder for inputs and stores that the peer can see. Default: a temporary one.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// The same folder as the peer sees it.
    #[arg(long, value_name = "DIR", requires = "share")]
    peer_share: Option<PathBuf>,
    #[command(flatten)]
    corpora: corpora::Corpora,
    #[command(flatten)]
    elf: elf::ElfOptions,
    /// How often each is measured, at least.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many derivations are built.
    #[arg(long, default_value_t = 200)]
    builds: usize,
    /// Size of the tree that is added and verified.
    #[arg(long, default_value_t = 1000)]
    tree_mb: u64,
    /// Only what is evaluated and has a name that contains this.
    #[arg(long)]
    only: Option<String>,
    /// Count instructions of ours with callgrind instead of measuring time.
    #[arg(long)]
    callgrind: bool,
    /// Run a build of ours that counts what it does, and write the profile that release builds read.
    #[arg(long, conflicts_with_all = ["peer", "callgrind"])]
    profile: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Evaluation: our microbenchmarks, and what is in the checkouts named.
    Eval,
    /// Trivial builds in a sandbox.
    Build,
    /// A tree added to a store, and the store verified.
    Store,
    /// ELF files edited, beside patchelf; programs started as they are, with libraries by path, and relocated; wrappers.
    Elf,
}

/// Where things are for us and for the peer.
struct Bench<'a> {
    options: &'a Options,
    root: &'a Path,
    ours: Nix,
    peer: Option<Nix>,
    /// Our working folder.
    folder: PathBuf,
    /// The same, as the peer sees it.
    peer_folder: PathBuf,
    /// Names of the stores that rounds have filled so far.
    stores: RefCell<Vec<String>>,
}

/// Measures what is asked for and prints a table.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool, String> {
    let temporary = match &options.share {
        Some(share) => tempfile::Builder::new().prefix("nopal-bench-").tempdir_in(share),
        None => tempfile::tempdir(),
    };
    let temporary = temporary.map_err(|error| format!("temporary directory: {error}"))?;
    let folder = temporary.path().to_path_buf();
    let name = folder.file_name().unwrap_or_default();
    let peer_folder = options.peer_share.as_ref().map_or_else(|| folder.clone(), |inner| inner.join(name));
    let peer = match (&options.peer, options.no_peer || options.profile) {
        (_, true) => None,
        (Some(prefix), _) => Some(Nix::by_prefix(prefix)?),
        (None, _) => Nix::installed(),
    };
    let (counts, target) = (folder.join("counts"), folder.join("target"));
    let merger = options.profile.then(|| profile::Merger::find(root)).transpose()?;
    let build = if options.profile { Build::Counting(&counts, &target) } else { Build::Release };
    let ours = Nix::ours(root, &folder, build)?;
    let bench = Bench { options, root, ours, peer, folder, peer_folder, stores: RefCell::default() };
    let wanted = |what| options.what.is_empty() || options.what.contains(&what);
    measure::print_header(bench.peer.as_ref().map(|peer| peer.name.as_str()));
    if wanted(What::Eval) {
        eval::run(&bench)?;
    }
    if wanted(What::Build) && !options.callgrind {
        build::run(&bench)?;
    }
    if wanted(What::Store) && !options.callgrind {
        store::run(&bench)?;
    }
    if wanted(What::Elf) && !options.callgrind {
        elf::run(&bench)?;
    }
    if let Some(merger) = merger {
        merger.merge(&counts)?;
    }
    Ok(true)
}

impl Bench<'_> {
    /// Writes a file where both can see it; gives its path for us and for the peer.
    fn write(&self, name: &str, text: &[u8]) -> Result<(PathBuf, PathBuf), String> {
        let path = self.folder.join(name);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok((path, self.peer_folder.join(name)))
    }

    /// Takes note of the name of a store that a round fills.
    fn empty_store(&self, name: String) -> String {
        self.stores.borrow_mut().push(name.clone());
        name
    }

    /// Removes the stores that rounds have filled, after the last round: ext4 looks at each number of a file that was
    /// deleted lately before it takes another one for a new file, which would be most of what later rounds do.
    fn remove_stores(&self) -> Result<(), String> {
        self.stores.take().iter().try_for_each(|store| self.remove(store))
    }

    /// Removes a store that a round has filled; its folders cannot be written to.
    fn remove(&self, name: &str) -> Result<(), String> {
        let path = self.folder.join(name);
        let done = std::process::Command::new("chmod").args(["-R", "u+w"]).arg(&path).output();
        let done = done.and_then(|_| std::fs::remove_dir_all(&path));
        done.map_err(|error| format!("cannot remove {}: {error}", path.display()))
    }
}
