//! `nix store add`, `add-file` and `add-path`.

use crate::error::CliError;
use crate::nix::cli::{Complete, Flag, Line};
use crate::output;
use nopal_format::content_address::ContentAddressMethod;
use nopal_format::{HashAlgorithm, StoreDir};
use nopal_store::{AddOptions, path_of_source};
use std::process::ExitCode;

/// The flags.
pub(super) const FLAGS: &[Flag] = &[
    Flag::new("dry-run", "Only print the path"),
    Flag::new("hash-algo", "Which algorithm to use").takes(&["hash-algo"]).completed(Complete::HashAlgorithm),
    Flag::new("mode", "What is hashed: nar, flat, text, git").takes(&["content-address-method"]),
    Flag::new("name", "Name the store path").short('n').takes(&["name"]),
];

/// Adds a file or folder; `mode` is what is hashed unless a flag says otherwise.
pub(super) fn run(line: Line, mode: &str) -> Result<ExitCode, CliError> {
    let mode = line.value("mode").unwrap_or(mode);
    let method: ContentAddressMethod = mode.parse().map_err(|_| {
        CliError::usage(format!("Unknown file ingestion method '{mode}', expect `flat`, `nar`, or `git`"))
    })?;
    let algorithm: HashAlgorithm = match line.value("hash-algo") {
        Some(text) => {
            text.parse().map_err(|error: nopal_format::hash::HashError| CliError::usage(error.to_string()))?
        }
        None => HashAlgorithm::Sha256,
    };
    let context = line.context()?;
    if method == ContentAddressMethod::Git {
        context.settings.require("git-hashing")?;
    }
    let path = context.settings.absolute(line.arg(0).unwrap_or_default().as_ref());
    let name = match line.value("name") {
        Some(name) => name.to_owned(),
        None => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let options = AddOptions { method, algorithm, ..AddOptions::source(&name) };
    let engine = context.settings.open(context.style)?;
    let store_dir: &StoreDir = &engine.config().store_dir;
    crate::nix::existing(&path)?;
    let info = match line.has("dry-run") {
        true => path_of_source(store_dir, &path, &options, None)?,
        false => engine.store()?.add_path(&path, &options, None)?,
    };
    output::line(&store_dir.print(&info.path))?;
    Ok(ExitCode::SUCCESS)
}
