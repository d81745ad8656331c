//! `nopal store add`, `cat`, `ls`, `dump`, `restore`: what lies in store paths.

use super::{resolve, valid};
use crate::error::CliError;
use crate::output;
use clap::{Args, ValueEnum};
use nopal_engine::Engine;
use nopal_format::ByteString;
use nopal_format::content_address::ContentAddressMethod;
use nopal_format::listing::Listing;
use nopal_store::{AddOptions, restore_tree};
use std::borrow::Cow;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes of an archive that are written at a time.
const OUTPUT_BYTES: usize = 256 * 1024;

/// Add a file or folder to the store and print its store path
///
/// The path is the one that Nix gives to the same contents under the same name.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// Files or folders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Name of the store path; default: that of the file
    #[arg(long, short)]
    name: Option<String>,
    /// What is hashed
    #[arg(long, default_value = "nar", hide_default_value = true)]
    mode: Mode,
}

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Contents, names and executable bits of the whole tree (the default)
    Nar,
    /// The bytes of one file
    Flat,
}

/// Runs `add`.
pub(crate) fn add(engine: &Engine, args: &AddArgs) -> Result<ExitCode, CliError> {
    let store = engine.store()?;
    for file in &args.files {
        let path = engine.config().working_dir.join(file);
        let of_file = || nopal_fs::absolute(&path).ok()?.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = args.name.clone().or_else(of_file);
        let name =
            name.ok_or_else(|| CliError::usage_hint("the store path would have no name", "give it one by --name"))?;
        let mut options = AddOptions::source(&name);
        if args.mode == Mode::Flat {
            options.method = ContentAddressMethod::Flat;
        }
        let info = store.add_path(&path, &options, None)?;
        output::line(&store.print(&info.path))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Print a file of the store
#[derive(Args, Debug)]
pub(crate) struct CatArgs {
    /// A store path, with the path of a file below it
    #[arg(value_name = "PATH")]
    path: String,
}

/// Runs `cat`.
pub(crate) fn cat(engine: &Engine, args: &CatArgs) -> Result<ExitCode, CliError> {
    let (path, below) = resolve(engine, &args.path)?;
    let store = engine.store()?;
    let mut stdout = std::io::stdout().lock();
    store.cat(&path, Path::new(&below), &mut stdout)?;
    stdout.flush().map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// List a folder of the store
#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// A store path, perhaps with the path of a folder below it
    #[arg(value_name = "PATH")]
    path: String,
    /// List the folders below, too
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Print kind and size
    #[arg(long, short)]
    long: bool,
    /// Print JSON, in the form of `nix store ls --json`
    #[arg(long)]
    json: bool,
}

/// Runs `ls`.
pub(crate) fn ls(engine: &Engine, args: &LsArgs) -> Result<ExitCode, CliError> {
    let (path, below) = resolve(engine, &args.path)?;
    let listing = engine.store()?.list(&path, Path::new(&below), args.recursive)?;
    if args.json {
        let json = listing.to_json().map_err(|error| CliError::Found(error.to_string()))?;
        output::line(&json.to_pretty())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = Vec::new();
    match &listing {
        Listing::Directory(entries) => {
            for (name, entry) in entries {
                rows(&format!("./{}", lossy(name)), entry, args.long, &mut lines);
            }
        }
        single => rows(".", single, args.long, &mut lines),
    }
    output::lines(lines)?;
    Ok(ExitCode::SUCCESS)
}

/// A name for people: what is not UTF-8 is replaced.
fn lossy(name: &ByteString) -> Cow<'_, str> {
    String::from_utf8_lossy(name.as_bytes())
}

/// A line for an entry, and for all below it, in the form of `nix store ls`.
fn rows(name: &str, entry: &Listing, long: bool, lines: &mut Vec<String>) {
    let (mode, size, target) = match entry {
        Listing::File { size, executable: false, .. } => ("-r--r--r--", *size, String::new()),
        Listing::File { size, executable: true, .. } => ("-r-xr-xr-x", *size, String::new()),
        Listing::Symlink { target } => ("lrwxrwxrwx", 0, format!(" -> {}", lossy(target))),
        Listing::Directory(_) => ("dr-xr-xr-x", 0, String::new()),
    };
    lines.push(if long { format!("{mode} {size:>20} {name}{target}") } else { name.to_owned() });
    if let Listing::Directory(entries) = entry {
        for (child, entry) in entries {
            rows(&format!("{name}/{}", lossy(child)), entry, long, lines);
        }
    }
}

/// Write a store path as a Nix archive (NAR) to standard output
#[derive(Args, Debug)]
pub(crate) struct DumpArgs {
    /// The store path
    #[arg(value_name = "PATH")]
    path: String,
}

/// Runs `dump`.
pub(crate) fn dump(engine: &Engine, args: &DumpArgs) -> Result<ExitCode, CliError> {
    let paths = valid(engine, std::slice::from_ref(&args.path))?;
    let mut stdout = BufWriter::with_capacity(OUTPUT_BYTES, std::io::stdout().lock());
    for path in &paths {
        engine.store()?.dump(path, &mut stdout)?;
    }
    stdout.flush().map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// Unpack a Nix archive (NAR) from standard input
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// What to make of it; it must not exist
    #[arg(value_name = "FILE")]
    destination: PathBuf,
}

/// Runs `restore`.
pub(crate) fn restore(args: &RestoreArgs) -> Result<ExitCode, CliError> {
    restore_tree(&mut std::io::stdin().lock(), &args.destination)?;
    Ok(ExitCode::SUCCESS)
}
