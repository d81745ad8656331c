//! Hashes of strings, and their notations. `hashFile` is with the files.

use crate::Evaluator;
use crate::builtin::BuiltinDef;
use crate::builtins::{def, message};
use crate::error::{Error, ErrorKind, Result};
use crate::host::Message;
use crate::pos::Pos;
use crate::value::{NixStr, Value};
use nopal_format::hash::HashError;
use nopal_format::{Hash, HashAlgorithm, HashEncoding};

pub(super) const DEFS: &[BuiltinDef] = &[
    def!(
        "hashString",
        ["type", "s"],
        hash_string,
        "The hash of a string, in base 16. *type* is `\"md5\"`, `\"sha1\"`, \
        `\"sha256\"` or `\"sha512\"`."
    ),
    def!(
        "convertHash",
        ["args"],
        convert_hash,
        "Writes the hash `hash` (of the algorithm `hashAlgo`, if its text does \
        not say) in the notation `toHashFormat`: `\"base16\"`, `\"nix32\"`, `\"base64\"` or `\"sri\"`."
    ),
];

/// The algorithm of this name, if its feature is on.
pub(super) fn algorithm(ev: &Evaluator, name: NixStr) -> Result<HashAlgorithm> {
    known_algorithm(ev, name.as_bytes())?.ok_or_else(|| {
        let expected = b"', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'";
        Error::new(ErrorKind::Usage, message(&[b"unknown hash algorithm '", name.as_bytes(), expected]))
    })
}

/// The algorithm of this name, if there is one. Fails if its feature is off.
pub(crate) fn known_algorithm(ev: &Evaluator, name: &[u8]) -> Result<Option<HashAlgorithm>> {
    let known = HashAlgorithm::named(name);
    if known == Some(HashAlgorithm::Blake3) {
        ev.require_feature(BLAKE3_FEATURE, "")?;
    }
    Ok(known)
}

/// The experimental feature without which there is no such algorithm.
const BLAKE3_FEATURE: &str = "blake3-hashes";

/// The hash that a text gives in any notation, if the feature of its algorithm is on.
pub(crate) fn parse(ev: &Evaluator, text: &str, expected: Option<HashAlgorithm>) -> Result<Hash> {
    if text.strip_prefix("blake3").is_some_and(|rest| rest.starts_with([':', '-'])) {
        ev.require_feature(BLAKE3_FEATURE, "")?;
    }
    Hash::parse_any(text, expected).map_err(|error| {
        let kind = match error {
            HashError::UnknownAlgorithm { .. } => ErrorKind::Usage,
            _ => ErrorKind::Eval,
        };
        Error::new(kind, error.to_string())
    })
}

fn hash_string(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.hashString";
    let name = ev.force_string_no_ctx(args[0], pos, what)?;
    let algorithm = algorithm(ev, name)?;
    let what = "while evaluating the second argument passed to builtins.hashString";
    let string = ev.force_string(args[1], pos, what)?;
    let hash = Hash::of(algorithm, string.as_bytes());
    Ok(ev.heap.string(hash.base16().as_bytes()))
}

fn convert_hash(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument passed to builtins.convertHash";
    let attrs = ev.force_attrs(args[0], pos, what)?;
    let name = ev.symbols.intern(b"hash");
    let hash = ev.require_attr(attrs, name, "while locating the attribute 'hash'")?;
    let hash = ev.force_string_no_ctx(hash, pos, "while evaluating the attribute 'hash'")?;
    let name = ev.symbols.intern(b"hashAlgo");
    let expected = match attrs.get(name) {
        None => None,
        Some(value) => {
            let value = ev.force_string_no_ctx(value, pos, "while evaluating the attribute 'hashAlgo'")?;
            Some(algorithm(ev, value)?)
        }
    };
    let name = ev.symbols.intern(b"toHashFormat");
    let format = ev.require_attr(attrs, name, "while locating the attribute 'toHashFormat'")?;
    let format = ev.force_string_no_ctx(format, pos, "while evaluating the attribute 'toHashFormat'")?;
    if format.as_bytes() == b"base32" {
        let warning = "\"base32\" is a deprecated alias for hash format \"nix32\".";
        ev.emit(Message::Warning(warning.into()));
    }
    let format =
        format.to_lossy().parse::<HashEncoding>().map_err(|error| Error::new(ErrorKind::Usage, error.to_string()))?;
    let hash = parse(ev, &hash.to_lossy(), expected)?;
    Ok(ev.heap.string(hash.encode(format).as_bytes()))
}
