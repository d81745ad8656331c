//! `nix-store --dump-db`, `--load-db`, `--register-validity` and `--print-env`.

use super::{Request, all_paths};
use crate::commands::installables::read_stdin;
use crate::error::CliError;
use crate::nix::quote::shell_word;
use crate::output;
use nopal_engine::Engine;
use nopal_store::RegistrationSource;
use std::fmt::Write as _;

/// `--dump-db`.
pub(super) fn dump(engine: &Engine, request: &Request) -> Result<(), CliError> {
    request.only(&[])?;
    let store = engine.store()?;
    let paths = match request.operands.is_empty() {
        true => store.all_valid_paths()?.into_iter().collect(),
        false => all_paths(engine, &request.operands)?,
    };
    output::data(store.registration(&paths)?.as_bytes())
}

/// `--load-db`.
pub(super) fn load(engine: &Engine, request: &Request) -> Result<(), CliError> {
    request.only(&[])?;
    request.no_operands()?;
    read(engine, RegistrationSource { hash_given: true, again: true, canonicalise: false })
}

/// `--register-validity`.
pub(super) fn register(engine: &Engine, request: &Request) -> Result<(), CliError> {
    request.only(&["--reregister", "--hash-given"])?;
    request.no_operands()?;
    let source = RegistrationSource {
        hash_given: request.has("--hash-given"),
        again: request.has("--reregister"),
        canonicalise: true,
    };
    read(engine, source)
}

fn read(engine: &Engine, source: RegistrationSource) -> Result<(), CliError> {
    let text = read_stdin()?;
    Ok(engine.store()?.register(&String::from_utf8_lossy(&text), source)?)
}

/// `--print-env`.
pub(super) fn print_env(engine: &Engine, request: &Request) -> Result<(), CliError> {
    request.only(&[])?;
    let [word] = &request.operands[..] else {
        return Err(CliError::usage("'--print-env' requires one derivation store path"));
    };
    let path = engine.config().store_dir.parse(word).map_err(|error| CliError::Found(error.to_string()))?;
    if !path.is_derivation() {
        let message = format!("error parsing derivation '{word}': store path '{path}' is not a valid derivation path");
        return Err(CliError::Found(message));
    }
    let derivation = engine.derivation(&path)?;
    let mut text = String::new();
    for (name, value) in &derivation.env {
        let (name, value) = (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        // with an empty line behind, as Nix has it
        let _ = writeln!(text, "export {name}; {name}={}\n", shell_word(&value));
    }
    let args: Vec<String> = derivation.args.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "export _args; _args={}", shell_word(&args.join(" ")));
    output::data(text.as_bytes())
}
