//! `nix-hash`: hashes of files, and their forms.

use super::flags::{Common, Words, unknown_flag};
use super::hashing::{self, Mode};
use crate::error::CliError;
use crate::output;
use nopal_format::hash::{Hash, HashEncoding};
use nopal_format::{HashAlgorithm, hash};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs it.
pub(crate) fn main(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    let mut words = Words::new(words);
    let mut common = Common::default();
    let (mut flat, mut truncate, mut convert) = (false, false, false);
    let (mut form, mut algorithm) = (HashEncoding::Base16, None);
    let mut operands = Vec::new();
    while let Some(flag) = words.next_flag(&mut operands)? {
        if let Some(found) = form_of(&flag) {
            form = found;
            convert |= flag.starts_with("--to-");
            continue;
        }
        match flag.as_str() {
            "--flat" => flat = true,
            "--truncate" => truncate = true,
            "--type" => {
                let text = words.value(&flag)?;
                algorithm = Some(text.parse::<HashAlgorithm>().map_err(|error| CliError::usage(error.to_string()))?);
            }
            "--version" => {
                output::line(&format!("nix-hash (Nix) {}", super::VERSION))?;
                return Ok(ExitCode::SUCCESS);
            }
            _ if common.take(&flag, &mut words)? => {}
            _ => return Err(unknown_flag(&flag)),
        }
    }
    for operand in &operands {
        let hash = if convert {
            Hash::parse_any(operand, algorithm).map_err(|error| CliError::Found(error.to_string()))?
        } else {
            let mode = if flat { Mode::Flat } else { Mode::Nar };
            hashing::of_path(Path::new(operand), mode, algorithm.unwrap_or(HashAlgorithm::Md5))?
        };
        output::line(&if truncate && !convert { truncated(&hash, form) } else { hash.encode(form) })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The form that a flag names.
fn form_of(flag: &str) -> Option<HashEncoding> {
    match flag.strip_prefix("--to-").or_else(|| flag.strip_prefix("--"))? {
        "base16" => Some(HashEncoding::Base16),
        "base32" => Some(HashEncoding::Nix32),
        "base64" => Some(HashEncoding::Base64),
        "sri" => Some(HashEncoding::Sri),
        _ => None,
    }
}

/// A hash folded to 160 bits, if it is longer.
fn truncated(whole: &Hash, form: HashEncoding) -> String {
    if whole.bytes().len() <= 20 {
        return whole.encode(form);
    }
    let folded = whole.compress20();
    match form {
        HashEncoding::Base16 => hash::hex(&folded),
        _ => match Hash::from_bytes(HashAlgorithm::Sha1, &folded) {
            Some(folded) if form == HashEncoding::Sri => {
                format!("{}-{}", whole.algorithm(), folded.encode(HashEncoding::Base64))
            }
            Some(folded) => folded.encode(form),
            None => hash::hex(&folded),
        },
    }
}
