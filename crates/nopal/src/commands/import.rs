//! `nopal import`

use crate::args::DebianArgs;
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use clap::{Args, Subcommand};
use nopal_engine::Explanation;
use nopal_import::debian::Verdict;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Turn packages of another distribution into Nix expressions
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    command: ImportCommand,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    Deb(DebArgs),
}

/// Pin Debian packages and all they need in a lock file, and write the expression that builds them
///
/// Writes `nopal.lock`, which names every package by version and hash, and `debian.nix`, which turns it into
/// derivations. Whoever evaluates the two gets the same store paths, with no index and no network.
///
///     nopal import deb jq python3
///     nopal build -f debian.nix -A tree
///     nopal import deb --explain git
#[derive(Args, Debug)]
struct DebArgs {
    /// Names of packages, `NAME` or `NAME=VERSION`
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Pin these source packages as well
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// Print which packages are taken and why, and what their maintainer scripts would do that is not done
    #[arg(long, conflicts_with = "out")]
    explain: bool,
    /// Print JSON
    #[arg(long, requires = "explain")]
    json: bool,
    /// Folder to write the two files to
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    debian: DebianArgs,
}

/// Runs it.
pub(crate) fn run(context: Context, args: ImportArgs) -> Result<ExitCode, CliError> {
    let ImportCommand::Deb(args) = args.command;
    let settings = context.settings.with_debian(&args.debian);
    let folder = settings.absolute(&args.out);
    let engine = settings.open(context.style)?;
    if args.explain {
        for name in &args.names {
            let explanation = engine.explain_deb(name)?;
            if args.json {
                output::json(&as_json(&explanation))?;
            } else {
                output::data(explanation.to_string().as_bytes())?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let lock = engine.lock_deb(&args.names, &args.source)?;
    nopal_fs::create_dir_all(&folder)?;
    let (lock_file, expression_file) = (folder.join("nopal.lock"), folder.join("debian.nix"));
    nopal_fs::replace(&lock_file, lock.lock.as_bytes())?;
    nopal_fs::replace(&expression_file, lock.expression.as_bytes())?;
    output::lines([lock_file.display(), expression_file.display()])?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(explanation: &Explanation) -> Value {
    let effects = explanation.effects.iter().map(|effect| {
        let verdict = match effect.verdict {
            Verdict::Done => "done",
            Verdict::NotDone => "not done",
            Verdict::NotNeeded => "not needed",
        };
        json!({
            "package": effect.package, "script": effect.script, "line": effect.line, "command": effect.command,
            "verdict": verdict, "reason": effect.reason,
        })
    });
    json!({
        "package": explanation.package,
        "closureSize": explanation.closure_size,
        "withScripts": explanation.with_scripts,
        "effects": effects.collect::<Vec<_>>(),
    })
}
