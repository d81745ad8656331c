//! `nix store sign` and `verify`, `nix key`.

use crate::commands::installables::read_stdin;
use crate::error::CliError;
use crate::nix::cli::Line;
use crate::nix::command::paths::{Realise, open, store_paths};
use crate::nix::random_key;
use crate::nix::store::problem_text;
use crate::output;
use nopal_format::signature::{PublicKey, SecretKey};
use nopal_report::Level;
use nopal_store::VerifyOptions;
use std::path::Path;
use std::process::ExitCode;

fn bad_key(error: impl std::fmt::Display) -> CliError {
    CliError::Found(error.to_string())
}

/// `nix store sign`.
pub(super) fn sign(mut line: Line) -> Result<ExitCode, CliError> {
    let Some(file) = line.value("key-file").map(str::to_owned) else {
        return Err(CliError::usage("required argument '--key-file' is missing"));
    };
    let text = nopal_fs::read_to_string(Path::new(&file))?;
    let key: SecretKey = text.trim().parse().map_err(bad_key)?;
    let (engine, targets) = open(&mut line)?;
    let store = engine.store()?;
    let mut added = 0;
    for path in store_paths(&engine, &line, &targets, Realise::Nothing)? {
        let info = store.path_info(&path)?;
        let mut signed = info.clone();
        signed.signatures.clear();
        signed.sign(store.store_dir(), &key).map_err(bad_key)?;
        if !signed.signatures.is_subset(&info.signatures) {
            store.add_signatures(&path, &signed.signatures)?;
            added += 1;
        }
    }
    store.reporter().message(Level::Notice, format!("added {added} signatures"));
    Ok(ExitCode::SUCCESS)
}

/// `nix store verify`. The exit code tells what is wrong: 1 contents, 2 signatures, 4 what could not be looked at.
pub(super) fn verify(mut line: Line) -> Result<ExitCode, CliError> {
    let needed: usize = match line.value("sigs-needed") {
        Some(text) => text.parse().map_err(|_| CliError::usage(format!("'{text}' is not a number")))?,
        None => 0,
    };
    let mut keys: Vec<PublicKey> = Vec::new();
    for text in line.context()?.settings.conf().words("trusted-public-keys") {
        keys.push(text.parse().map_err(bad_key)?);
    }
    for file in line.context()?.settings.conf().words("secret-key-files") {
        let text = nopal_fs::read_to_string(Path::new(&file))?;
        keys.push(text.trim().parse::<SecretKey>().map_err(bad_key)?.public_key());
    }
    let (engine, targets) = open(&mut line)?;
    let store = engine.store()?;
    let paths = store_paths(&engine, &line, &targets, Realise::Nothing)?;
    let (mut corrupt, mut untrusted) = (false, false);
    if !line.has("no-contents") {
        let only = Some(paths.iter().cloned().collect());
        for path in &paths {
            store.reporter().message(Level::Notice, format!("checking '{}'...", store.print(path)));
        }
        for problem in &store.verify(&VerifyOptions { only, ..VerifyOptions::default() })?.problems {
            eprintln!("{}", problem_text(&engine, problem)?);
            corrupt = true;
        }
    }
    if !line.has("no-trust") {
        for path in &paths {
            let info = store.path_info(path)?;
            let good = (info.ultimate && needed == 0)
                || info.is_content_addressed(store.store_dir())
                || info.count_valid_signatures(store.store_dir(), &keys).map_err(bad_key)? >= needed.max(1);
            if !good {
                eprintln!("path '{}' is untrusted", store.print(path));
                untrusted = true;
            }
        }
    }
    Ok(ExitCode::from(u8::from(corrupt) | (u8::from(untrusted) << 1)))
}

/// `nix key generate-secret`.
pub(super) fn new_key(line: Line) -> Result<ExitCode, CliError> {
    let Some(name) = line.value("key-name") else {
        return Err(CliError::usage("required argument '--key-name' is missing"));
    };
    output::data(random_key(name)?.to_secret_text().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// `nix key convert-secret-to-public`.
pub(super) fn to_public(_line: Line) -> Result<ExitCode, CliError> {
    let text = read_stdin()?;
    let key: SecretKey = String::from_utf8_lossy(&text).trim().parse().map_err(bad_key)?;
    output::data(key.public_key().to_string().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
