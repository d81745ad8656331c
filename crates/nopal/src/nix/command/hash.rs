//! `nix hash`: hashes of files, and their forms.

use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, Flag, Line};
use crate::nix::hashing::{self, Mode};
use crate::output;
use nopal_format::HashAlgorithm;
use nopal_format::hash::{Hash, HashEncoding};
use std::path::Path;
use std::process::ExitCode;

/// `nix hash`.
pub(super) const COMMAND: Command = Command::group(
    "hash",
    "compute hashes and convert them",
    &[
        Command::new(
            "convert",
            "convert hashes from one form to another",
            &[CONVERT],
            &[Arg::rest("hashes", Complete::Nothing)],
            convert,
        ),
        Command::new("file", "print the hash of files", &[FORMS], &[Arg::rest("paths", Complete::Path)], |line| {
            hash(line, Mode::Flat)
        }),
        Command::new(
            "path",
            "print the hash of trees",
            &[FORMS, PATH],
            &[Arg::rest("paths", Complete::Path)],
            |line| {
                let mode = match line.value("mode") {
                    None | Some("nar") => Mode::Nar,
                    Some("flat") => Mode::Flat,
                    Some("git") => Mode::Git,
                    Some(other) => {
                        return Err(CliError::usage(format!(
                            "unknown file ingestion method '{other}', expect `flat`, `nar`, or `git`"
                        )));
                    }
                };
                hash(line, mode)
            },
        ),
        Command::new("to-base16", "convert hashes to base 16", &[TYPE], STRINGS, |line| to(line, HashEncoding::Base16)),
        Command::new("to-base32", "convert hashes to base 32", &[TYPE], STRINGS, |line| to(line, HashEncoding::Nix32)),
        Command::new("to-base64", "convert hashes to base 64", &[TYPE], STRINGS, |line| to(line, HashEncoding::Base64)),
        Command::new("to-sri", "convert hashes to SRI", &[TYPE], STRINGS, |line| to(line, HashEncoding::Sri)),
    ],
);

const STRINGS: &[Arg] = &[Arg::rest("strings", Complete::Nothing)];

const CONVERT: &[Flag] = &[
    Flag::new("from", "What form the hashes have").takes(&["hash-format"]).completed(Complete::HashFormat),
    Flag::new("hash-algo", "Which algorithm made them").takes(&["hash-algo"]).completed(Complete::HashAlgorithm),
    Flag::new("to", "What form to print").takes(&["hash-format"]).completed(Complete::HashFormat),
];

const TYPE: &[Flag] =
    &[Flag::new("type", "Which algorithm made them").takes(&["hash-algo"]).completed(Complete::HashAlgorithm)];

const FORMS: &[Flag] = &[
    Flag::new("base16", "Print base 16"),
    Flag::new("base32", "Print base 32"),
    Flag::new("base64", "Print base 64"),
    Flag::new("sri", "Print SRI"),
    Flag::new("type", "Which algorithm to use").takes(&["hash-algo"]).completed(Complete::HashAlgorithm),
];

const PATH: &[Flag] = &[
    Flag::new("algo", "Which algorithm to use").takes(&["hash-algo"]).completed(Complete::HashAlgorithm),
    Flag::new("format", "What form to print").takes(&["hash-format"]).completed(Complete::HashFormat),
    Flag::new("mode", "What is hashed: nar, flat, git").takes(&["file-ingestion-method"]),
];

fn algorithm(text: &str) -> Result<HashAlgorithm, CliError> {
    text.parse::<HashAlgorithm>().map_err(|error| CliError::usage(error.to_string()))
}

fn encoding(text: &str) -> Result<HashEncoding, CliError> {
    text.parse::<HashEncoding>().map_err(|error| CliError::usage(error.to_string()))
}

fn hash(line: Line, mode: Mode) -> Result<ExitCode, CliError> {
    let (mut form, mut which) = (HashEncoding::Sri, HashAlgorithm::Sha256);
    for (name, values) in &line.flags {
        let value = values.first().map_or("", String::as_str);
        match *name {
            "base16" => form = HashEncoding::Base16,
            "base32" => form = HashEncoding::Nix32,
            "base64" => form = HashEncoding::Base64,
            "sri" => form = HashEncoding::Sri,
            "format" => form = encoding(value)?,
            "type" | "algo" => which = algorithm(value)?,
            _ => {}
        }
    }
    for path in &line.args {
        output::line(&hashing::of_path(Path::new(path), mode, which)?.encode(form))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn to(line: Line, form: HashEncoding) -> Result<ExitCode, CliError> {
    line.context()?
        .settings
        .open(line.context()?.style)?
        .config()
        .reporter
        .warn("The old format conversion subcommands of `nix hash` were deprecated in favor of `nix hash convert`.");
    let which = line.value("type").map(algorithm).transpose()?;
    for text in &line.args {
        output::line(&parse(text, which)?.encode(form))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(text: &str, which: Option<HashAlgorithm>) -> Result<Hash, CliError> {
    Hash::parse_any(text, which).map_err(|error| CliError::Found(error.to_string()))
}

fn convert(line: Line) -> Result<ExitCode, CliError> {
    let which = line.value("hash-algo").map(algorithm).transpose()?;
    let from = line.value("from").map(encoding).transpose()?;
    let to = line.value("to").map_or(Ok(HashEncoding::Sri), encoding)?;
    for text in &line.args {
        let hash = parse(text, which)?;
        let found = HashEncoding::of(text, &hash);
        if let Some(from) = from.filter(|from| *from != found) {
            return Err(CliError::Found(format!(
                "input hash '{text}' has format '{found}', but '--from {from}' was specified"
            )));
        }
        output::line(&hash.encode(to))?;
    }
    Ok(ExitCode::SUCCESS)
}
