//! The builtin functions, by theme. Each file has a `DEFS` table; [`tables`] is all of them.
//!
//! A builtin gets its arguments unevaluated and forces what it needs, in Nix's order, with Nix's trace frames. The
//! position it gets is the one Nix passes; the caller adds the frame `while calling the '…' builtin`.

mod attrs;
mod closure;
mod closures;
mod context;
mod debug;
mod fetch;
mod files;
mod flake;
pub(crate) mod hash;
pub(crate) mod json;
mod lists;
mod numbers;
mod regex;
mod strings;
mod toml;
mod tree;
mod types;
pub(crate) mod xml;

use crate::builtin::BuiltinDef;

/// Every builtin function written in this module, in tables by theme.
pub fn tables() -> &'static [&'static [BuiltinDef]] {
    &[
        attrs::DEFS,
        closure::DEFS,
        closures::DEFS,
        context::DEFS,
        debug::DEFS,
        fetch::DEFS,
        files::DEFS,
        flake::DEFS,
        hash::DEFS,
        json::DEFS,
        lists::DEFS,
        numbers::DEFS,
        regex::DEFS,
        strings::DEFS,
        toml::DEFS,
        tree::DEFS,
        types::DEFS,
        xml::DEFS,
    ]
}

/// One row of a table: `def!(name, [arguments], function, description)`; with `global` in front the builtin is also a
/// plain variable.
macro_rules! def {
    (global $name:literal, [$($arg:literal),*], $fun:path, $doc:literal) => {
        def!(@ $crate::builtin::Scope::Global, None, $name, [$($arg),*], $fun, $doc)
    };
    (feature $feature:literal, global $name:literal, [$($arg:literal),*], $fun:path, $doc:literal) => {
        def!(@ $crate::builtin::Scope::Global, Some($feature), $name, [$($arg),*], $fun, $doc)
    };
    (feature $feature:literal, $name:literal, [$($arg:literal),*], $fun:path, $doc:literal) => {
        def!(@ $crate::builtin::Scope::Builtins, Some($feature), $name, [$($arg),*], $fun, $doc)
    };
    ($name:literal, [$($arg:literal),*], $fun:path, $doc:literal) => {
        def!(@ $crate::builtin::Scope::Builtins, None, $name, [$($arg),*], $fun, $doc)
    };
    (@ $scope:expr, $feature:expr, $name:literal, [$($arg:literal),*], $fun:path, $doc:literal) => {
        $crate::builtin::BuiltinDef {
            name: $name,
            args: &[$($arg),*],
            doc: $doc,
            scope: $scope,
            feature: $feature,
            trace: true,
            fun: $fun,
            first: None,
        }
    };
}
use def;

/// A message made of pieces that need not be UTF-8.
fn message(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}
