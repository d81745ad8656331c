//! `cargo xtask oracle`: what we expect and what we do, held against real Nix.
//!
//! Always: the cases in tests/lang against every Nix given (or installed), and derivations made up from a seed.
//! On request: Nix's own language suite, nixpkgs' library tests, and large real inputs, from checkouts that the caller
//! names (and that the Nix started by `--cmd` sees under the same names).

mod cases;
mod corpora;
mod derivations;
mod experimental;
mod library;
mod suite;

use crate::nix::{Build, Nix};
use std::path::{Path, PathBuf};

/// What to compare with.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Words that start a Nix, before `nix-instantiate`; repeat it for several. Default: the Nix in PATH.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// Folder that the Nix started by --cmd can see; the cases are copied to it.
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// The same folder as that Nix sees it.
    #[arg(long, value_name = "DIR", requires = "share")]
    peer_share: Option<PathBuf>,
    /// Derivations to make up.
    #[arg(long, default_value_t = 200)]
    derivations: usize,
    /// Seed of what is made up.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Checkout of Nix's source: run its language suite with ours.
    #[arg(long, value_name = "DIR")]
    nix_source: Option<PathBuf>,
    /// Checkout of nixpkgs, or of its library: run lib/tests with ours.
    #[arg(long, value_name = "DIR")]
    nixpkgs_lib: Option<PathBuf>,
    /// Checkout of corepkgs, with its pins in place: its system, its tests and its standard environment.
    #[arg(long, value_name = "DIR")]
    corepkgs: Option<PathBuf>,
    /// Checkout of guixpkgs: the path of every derivation.
    #[arg(long, value_name = "DIR")]
    guixpkgs: Option<PathBuf>,
    /// Folder whose Nix files are printed by `--parse`; repeat it for several.
    #[arg(long, value_name = "DIR")]
    sources: Vec<PathBuf>,
    /// Run the release build.
    #[arg(long)]
    release: bool,
    /// Show the differences of the suites in full.
    #[arg(long)]
    verbose: bool,
}

/// How many of how many agree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    equal: usize,
    all: usize,
}

impl Tally {
    fn add(&mut self, equal: bool) {
        self.all += 1;
        self.equal += usize::from(equal);
    }

    fn is_complete(self) -> bool {
        self.equal == self.all
    }
}

/// Runs everything asked for; true if all agree. The suites of others are counted, not judged.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("temporary directory: {error}"))?;
    let ours = Nix::ours(root, folder.path(), Build::of(options.release))?;
    let peers = Nix::peers(&options.cmd)?;
    if peers.is_empty() {
        eprintln!("oracle: SKIPPED: no Nix is installed, and none is named by --cmd");
    }
    let mut agreed = true;
    let cases = root.join("tests/lang");
    agreed &= report("cases of tests/lang", &ours, cases::compare(&cases, &cases, &ours)?);
    let inner = match (&options.share, &options.peer_share) {
        (Some(share), inner) => {
            copy(&cases, share)?;
            inner.as_ref().unwrap_or(share).join("lang")
        }
        (None, _) => cases.clone(),
    };
    for peer in &peers {
        let equal = report("cases of tests/lang", peer, cases::compare(&cases, &inner, peer)?);
        agreed &= equal || peer.version < cases::EXACT;
    }
    let share = options.share.as_deref().unwrap_or(folder.path());
    let stores = (share, options.peer_share.as_deref().unwrap_or(share));
    for peer in &peers {
        let made_up = derivations::make_up(options.derivations, options.seed, peer.version >= cases::EXACT);
        agreed &= report("made-up derivations", peer, derivations::compare(&made_up, &ours, peer)?);
        if peer.version >= cases::EXACT {
            let made_up = (options.derivations, options.seed);
            let equal = experimental::compare(made_up, (&ours, peer), stores)?;
            agreed &= report("made-up derivations of experimental kinds", peer, equal);
        }
    }
    for peer in peers.iter().filter(|peer| peer.version >= cases::EXACT) {
        if let Some(checkout) = &options.corepkgs {
            agreed &= report("corepkgs", peer, corpora::evaluate(&corpora::corepkgs(checkout), &ours, peer)?);
        }
        if let Some(checkout) = &options.guixpkgs {
            agreed &= report("guixpkgs", peer, corpora::evaluate(&corpora::guixpkgs(checkout), &ours, peer)?);
        }
        for folder in &options.sources {
            agreed &= report(&format!("{}, printed", folder.display()), peer, corpora::print(folder, &ours, peer)?);
        }
    }
    if let Some(source) = &options.nix_source {
        suite::run(source, &ours, options.verbose)?;
    }
    if let Some(library) = &options.nixpkgs_lib {
        library::run(library, &ours)?;
    }
    Ok(agreed)
}

fn report(what: &str, nix: &Nix, tally: Tally) -> bool {
    println!("{what}: {} of {} equal ({})", tally.equal, tally.all, nix.name);
    tally.is_complete()
}

/// Copies a folder into another one.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status();
    let copied = copied.map_err(|error| format!("cannot run cp: {error}"))?;
    if copied.success() { Ok(()) } else { Err(format!("cannot copy {} to {}", from.display(), to.display())) }
}
