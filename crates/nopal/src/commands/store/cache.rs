//! `nopal store export` and `import`: copies to and from a folder that is a binary cache.

use super::{resolve, valid};
use crate::error::CliError;
use crate::output;
use clap::{Args, ValueEnum};
use nopal_engine::Engine;
use nopal_format::signature::{PublicKey, SecretKey};
use nopal_report::Level;
use nopal_store::{CacheCompression, CacheImport, CacheOptions};
use std::path::PathBuf;
use std::process::ExitCode;

/// Copy store paths and all they need into a binary cache in a folder
///
/// Nix reads the folder as `file://FOLDER`; put on a web server, it is a substituter.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Store paths, or links to them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// The folder; it is made if it is missing
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// File with the secret key to sign with, `NAME:BASE64` as Nix keeps it
    #[arg(long, value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    /// How archives are compressed
    #[arg(long, default_value = "zstd")]
    compression: Compression,
}

/// How archives are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compression {
    /// Not at all
    None,
    /// Fast
    Zstd,
    /// Small
    Xz,
}

/// Runs `export`.
pub(crate) fn export(engine: &Engine, args: &ExportArgs) -> Result<ExitCode, CliError> {
    let store = engine.store()?;
    let paths = valid(engine, &args.paths)?;
    let secret_key = match &args.secret_key_file {
        None => None,
        Some(file) => Some(secret_key(engine, file)?),
    };
    let compression = match args.compression {
        Compression::None => CacheCompression::None,
        Compression::Zstd => CacheCompression::Zstd,
        Compression::Xz => CacheCompression::Xz,
    };
    let options = CacheOptions { compression, level: None, secret_key, skip_existing: true };
    let written = store.export_to_cache(&engine.config().working_dir.join(&args.to), &paths, &options)?;
    store.reporter().message(Level::Notice, format!("{written} store paths written"));
    Ok(ExitCode::SUCCESS)
}

fn secret_key(engine: &Engine, file: &std::path::Path) -> Result<SecretKey, CliError> {
    let text = nopal_fs::read_to_string(&engine.config().working_dir.join(file))?;
    text.trim().parse::<SecretKey>().map_err(|error| CliError::usage(format!("{}: {error}", file.display())))
}

/// Copy store paths and all they need from a binary cache in a folder
///
/// Every path must be signed by a trusted key, or be named by its own contents.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// Store paths
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// The folder
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// A key to trust, `NAME:BASE64`
    #[arg(long, value_name = "KEY")]
    trusted_key: Vec<String>,
    /// Take paths that no trusted key has signed
    #[arg(long)]
    no_check_sigs: bool,
}

/// Runs `import`.
pub(crate) fn import(engine: &Engine, args: &ImportArgs) -> Result<ExitCode, CliError> {
    let store = engine.store()?;
    let paths = args.paths.iter().map(|word| Ok(resolve(engine, word)?.0)).collect::<Result<Vec<_>, CliError>>()?;
    let parse =
        |text: &String| text.parse::<PublicKey>().map_err(|error| CliError::usage(format!("key '{text}': {error}")));
    let trusted_keys = args.trusted_key.iter().map(parse).collect::<Result<_, _>>()?;
    let trust = CacheImport { trusted_keys, accept_unsigned: args.no_check_sigs };
    store.add_temp_roots(&paths)?;
    let imported = store.import_from_cache(&engine.config().working_dir.join(&args.from), &paths, &trust)?;
    store.reporter().message(Level::Notice, format!("{imported} store paths copied"));
    output::lines(paths.iter().map(|path| store.print(path)))?;
    Ok(ExitCode::SUCCESS)
}
