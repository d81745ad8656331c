//! The commands that go by Nix's names: links to this program called `nix`, `nix-instantiate`, `nix-build`,
//! `nix-store`, `nix-hash` and `nix-collect-garbage` take Nix's flags and print what Nix prints, as far as scripts rely on it.

mod build;
mod cli;
mod collect_garbage;
mod command;
mod env;
mod failures;
mod flags;
mod hash;
mod hashing;
mod instantiate;
mod missing;
mod process;
mod profile;
mod quote;
mod shell;
mod size;
mod store;

use crate::env_vars;
use crate::error::CliError;
use crate::output;
use crate::settings::Settings;
use nopal_engine::Engine;
use nopal_format::signature::SecretKey;
use nopal_report::Level;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Once;

/// The version of Nix that these commands follow.
pub(crate) const VERSION: &str = "2.34.8";

pub(crate) use command::flake;

/// A command of Nix's: takes the words after its name.
type Program = fn(Vec<OsString>) -> Result<ExitCode, CliError>;

/// Shows the manual page of one of the old commands.
pub(crate) fn show_manual(program: &str) -> CliError {
    let error = process::replace("man", &[program]);
    match env_vars::PATH.get() {
        Some(path) if std::env::split_paths(&path).any(|folder| nopal_fs::exists(&folder.join("man"))) => error,
        _ => CliError::Found(format!(
            "The 'man' command was not found, but it is needed for '{program}' and some other 'nix-*' commands' help \
             text. Perhaps you could install the 'man' command?"
        )),
    }
}

/// An error, in Nix's words, if there is nothing at an absolute path.
fn existing(path: &Path) -> Result<(), CliError> {
    match nopal_fs::symlink_metadata_if_exists(path)? {
        Some(_) => Ok(()),
        // Nix puts the root of the file system before the path
        None => Err(CliError::Found(format!("path '/{}' does not exist", path.display()))),
    }
}

/// Tells the version, and with `--verbose` also where everything is.
fn tell_version(program: &str, common: &flags::Common) -> Result<ExitCode, CliError> {
    let mut lines = vec![format!("{program} (Nix) {VERSION}")];
    if common.is_verbose() {
        let context = common.context()?;
        let (system, user) = Settings::conf_files();
        let user: Vec<String> = user.iter().map(|file| file.display().to_string()).collect();
        let (platform, more) = (context.settings.shown("system"), context.settings.conf().words("extra-platforms"));
        let engine = context.settings.open(context.style)?;
        let config = engine.config();
        lines.push(format!("System type: {platform}"));
        lines.push(format!("Additional system types: {}", more.join(", ")));
        lines.push("Features: signed-caches".to_owned());
        lines.push(format!("System configuration file: {}", system.display()));
        lines.push(format!("User configuration files: {}", user.join(":")));
        lines.push(format!("Store directory: {}", config.store_dir));
        lines.push(format!("State directory: {}", config.store.state_dir.display()));
    }
    output::lines(lines)?;
    Ok(ExitCode::SUCCESS)
}

/// The command that goes by this name.
pub(crate) fn command(name: &str) -> Option<Program> {
    match name {
        "nix" => Some(command::main),
        "nix-instantiate" => Some(instantiate::main),
        "nix-build" => Some(build::main),
        "nix-collect-garbage" => Some(collect_garbage::main),
        "nix-env" => Some(env::main),
        "nix-hash" => Some(hash::main),
        "nix-shell" => Some(shell::main),
        "nix-store" => Some(store::main),
        _ => None,
    }
}

/// Warns, once, that what was made may be gone soon.
pub(crate) fn warn_of_garbage(engine: &Engine) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        let text = "you did not specify '--add-root'; the result might be removed by the garbage collector";
        engine.config().reporter.warn(text);
    });
}

/// Links files with equal contents to each other, and tells what came of it.
pub(crate) fn optimise(engine: &Engine) -> Result<(), CliError> {
    let store = engine.store()?;
    let report = store.optimise()?;
    let freed = size::render(report.bytes_freed);
    store.reporter().message(Level::Notice, format!("{freed} freed by hard-linking {} files", report.files_linked));
    Ok(())
}

/// A new key to sign with.
pub(crate) fn random_key(name: &str) -> Result<SecretKey, CliError> {
    let source = Path::new("/dev/urandom");
    let mut seed = [0; 32];
    let mut file = nopal_fs::open_read(source)?;
    file.read_exact(&mut seed).map_err(|error| nopal_fs::FsError::new("read", source, error))?;
    Ok(SecretKey::from_seed(name, &seed))
}
