//! `nopal build`

use super::installables;
use crate::args::{BuildArgs, DebianArgs, EvalArgs, SourceArgs};
use crate::cli::Context;
use crate::error::CliError;
use crate::output;
use crate::settings::auto_args;
use clap::Args;
use nopal_engine::{Built, Engine, RealiseOptions, Wanted};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Build packages in a sandbox and print the store paths of their outputs
///
/// Everything that is needed and not in the store yet is built or fetched first. A link `result` to each output is
/// made in the working directory; it keeps the output from being collected as garbage.
///
///     nopal build -f default.nix -A hello
///     nopal build deb:jq --no-link
#[derive(Args, Debug)]
pub(crate) struct BuildCommandArgs {
    /// Packages or store paths, such as `deb:hello`
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// Name of the link; outputs after the first have a number or their own name behind it
    #[arg(long, short, value_name = "PATH", default_value = "result")]
    out_link: PathBuf,
    /// Make no link
    #[arg(long, conflicts_with = "out_link")]
    no_link: bool,
    /// Build again what is there, and fail if the result differs
    #[arg(long, visible_alias = "check")]
    rebuild: bool,
    /// Print the derivations that would be built, and build nothing
    #[arg(long)]
    dry_run: bool,
    /// Print derivations and outputs as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    eval: EvalArgs,
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    debian: DebianArgs,
}

/// Runs it.
pub(crate) fn run(mut context: Context, args: BuildCommandArgs) -> Result<ExitCode, CliError> {
    let named = installables::all(&args.source, &args.packages)?;
    context.style.build_logs = args.build.print_build_logs;
    let settings = context.settings.with_eval(&args.eval)?.with_build(&args.build)?.with_debian(&args.debian);
    let link = (!args.no_link).then(|| settings.absolute(&args.out_link));
    let engine = settings.open(context.style)?;
    let auto_args = auto_args(&args.eval);
    let mut wanted: Vec<Wanted> = Vec::new();
    for what in &named {
        wanted.extend(engine.instantiate(what, &auto_args)?);
    }
    if args.dry_run {
        let will_build = engine.plan(&wanted)?.will_build;
        output::lines(will_build.iter().map(|path| engine.config().store_dir.print(path)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let options =
        RealiseOptions { check: args.rebuild, keep_difference: args.build.keep_failed, ..RealiseOptions::default() };
    let built = engine.realise(&wanted, &options)?;
    if let Some(link) = link {
        link_outputs(&engine, &built, &link)?;
    }
    if args.json {
        output::json(&as_json(&engine, &built))?;
    } else {
        output::lines(paths(&engine, &built))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The paths of all outputs, in order.
pub(crate) fn paths(engine: &Engine, built: &[Built]) -> Vec<String> {
    built.iter().flat_map(|b| b.outputs.iter().map(|(_, path)| engine.config().store_dir.print(path))).collect()
}

/// Makes a link to each output and registers it as a root. The first is `link`, `link-bin` its output `bin`; those of
/// further derivations have the derivation's number: `link-1`, `link-1-bin`.
pub(crate) fn link_outputs(engine: &Engine, built: &[Built], link: &Path) -> Result<Vec<PathBuf>, CliError> {
    let store = engine.store()?;
    let mut links = Vec::new();
    for (number, derivation) in built.iter().enumerate() {
        for (output, path) in &derivation.outputs {
            let mut name = link.as_os_str().to_owned();
            if number > 0 {
                name.push(format!("-{number}"));
            }
            if output != "out" {
                name.push(format!("-{output}"));
            }
            let link = PathBuf::from(name);
            store.add_root(&link, path)?;
            links.push(link);
        }
    }
    Ok(links)
}

fn as_json(engine: &Engine, built: &[Built]) -> serde_json::Value {
    let print = |path| engine.config().store_dir.print(path);
    let items = built.iter().map(|b| {
        let outputs: serde_json::Map<_, _> =
            b.outputs.iter().map(|(name, path)| (name.clone(), json!(print(path)))).collect();
        json!({ "drvPath": print(&b.drv_path), "outputs": outputs })
    });
    items.collect()
}
