//! Flags that several commands share. The doc comments are the manual.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct GlobalArgs {
    /// Folder of the store: objects in `store/`, database and roots in `var/`
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) store: Option<PathBuf>,
    /// Use no network; what is neither in the store nor in the cache is an error
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Tell errors and warnings only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Tell everything that is done
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_default_value = true)]
    pub(crate) color: Colour,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Flags of commands that evaluate.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Evaluation")]
pub(crate) struct EvalArgs {
    /// Give the function in the file the argument NAME, a Nix expression
    #[arg(long, num_args = 2, value_names = ["NAME", "EXPR"], action = clap::ArgAction::Append, allow_hyphen_values = true)]
    pub(crate) arg: Vec<String>,
    /// Give the function in the file the argument NAME, a string
    #[arg(long, num_args = 2, value_names = ["NAME", "STRING"], action = clap::ArgAction::Append, allow_hyphen_values = true)]
    pub(crate) argstr: Vec<String>,
    /// Add an entry before those of `NIX_PATH`: `name=path` or `path`
    #[arg(long, short = 'I', value_name = "PATH")]
    pub(crate) include: Vec<String>,
    /// Evaluate for this platform, such as `x86_64-linux`
    #[arg(long, value_name = "SYSTEM")]
    pub(crate) system: Option<String>,
    /// Show every frame of an evaluation error
    #[arg(long)]
    pub(crate) show_trace: bool,
    /// Let evaluation read nothing but what is named by a hash
    #[arg(long)]
    pub(crate) pure_eval: bool,
    /// Let evaluation read nothing but the search path and the store
    #[arg(long)]
    pub(crate) restrict_eval: bool,
    /// Evaluate even if the same was evaluated before and nothing that it read has changed
    #[arg(long)]
    pub(crate) no_eval_cache: bool,
    /// Evaluate with this many threads; 0 means one for each processor
    #[arg(long, value_name = "NUMBER")]
    pub(crate) eval_cores: Option<usize>,
    /// Set a setting by its name in nix.conf
    #[arg(long, num_args = 2, value_names = ["NAME", "VALUE"], action = clap::ArgAction::Append, allow_hyphen_values = true)]
    pub(crate) option: Vec<String>,
    /// Turn on experimental features of the language, by Nix's names
    #[arg(long, value_name = "FEATURES")]
    pub(crate) extra_experimental_features: Vec<String>,
}

/// Flags of commands that build.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Building")]
pub(crate) struct BuildArgs {
    /// Build this many derivations at the same time; default: one for each processor
    #[arg(long, short = 'j', value_name = "NUMBER")]
    pub(crate) max_jobs: Option<usize>,
    /// Processors that one build may use (`NIX_BUILD_CORES`); 0 means all
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cores: Option<usize>,
    /// After a failure, go on with builds that do not need what failed
    #[arg(long, short)]
    pub(crate) keep_going: bool,
    /// Keep the build directory of a failed build
    #[arg(long, short = 'K')]
    pub(crate) keep_failed: bool,
    /// End a build that takes longer than this
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// End a build that says nothing for this long
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_silent_time: Option<u64>,
    /// Show what builders print, line by line
    #[arg(long, short = 'L')]
    pub(crate) print_build_logs: bool,
    /// Build without a sandbox: builders see the whole machine. Never done unless asked for
    #[arg(long)]
    pub(crate) no_sandbox: bool,
}

/// Flags of commands that take packages from Debian.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Debian packages")]
pub(crate) struct DebianArgs {
    /// Base URL of the mirror; default: what apt on this machine is configured with
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Option<String>,
    /// Suite, such as `bookworm`; repeat it in order of preference
    #[arg(long, value_name = "NAME")]
    pub(crate) suite: Vec<String>,
    /// Component of the suites; default: `main`
    #[arg(long, value_name = "NAME")]
    pub(crate) component: Vec<String>,
    /// File with the keys that may sign the index
    #[arg(long, value_name = "FILE")]
    pub(crate) keyring: Option<PathBuf>,
    /// Ask the mirror for a newer index first
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Take packages from this lock file instead of an index
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Leave out packages that are recommended only
    #[arg(long)]
    pub(crate) no_recommends: bool,
}

/// What to work on: a package or store path, or an attribute of a Nix expression.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SourceArgs {
    /// Take the Nix expression from this file, or from `default.nix` in this folder; `-` is standard input
    #[arg(long, short, value_name = "FILE", conflicts_with = "expr")]
    pub(crate) file: Option<PathBuf>,
    /// Take this Nix expression
    #[arg(long, value_name = "EXPR")]
    pub(crate) expr: Option<String>,
    /// Choose an attribute of the expression, such as `a.b`
    #[arg(long, short = 'A', value_name = "PATH")]
    pub(crate) attr: Vec<String>,
}
