//! What is wrong with a source, as data; the words are Nix's.

use crate::ast::Pos;
use crate::printer::identifier;
use crate::source::Source;

/// A problem at a place of one source.
#[derive(Clone, PartialEq, Debug)]
pub struct Diagnostic {
    /// What is wrong.
    pub problem: Problem,
    /// Where; [`Pos::NONE`] only for [`Problem::HomePathInPureMode`], [`Problem::TooLarge`] and for the variables
    /// behind operators, such as `__sub`.
    pub pos: Pos,
    /// For an error of the parser: the warnings about the text before it, which are to be shown, too.
    pub warnings: Vec<Diagnostic>,
}

impl Diagnostic {
    /// A problem at `pos`.
    pub fn new(problem: Problem, pos: Pos) -> Self {
        Self { problem, pos, warnings: Vec::new() }
    }

    /// `undefined variable 'name'` at `pos`.
    pub fn undefined_variable(name: &[u8], pos: Pos) -> Self {
        Self::new(Problem::UndefinedVariable(name.to_vec()), pos)
    }

    /// The message as Nix prints it, without `error: ` and without the place. Sources are bytes, and so are messages
    /// that quote them. `source` is the source that the diagnostic is about: some messages name a second place in it.
    pub fn message(&self, source: &Source<'_>) -> Vec<u8> {
        self.problem.message(source)
    }
}

impl std::fmt::Display for Diagnostic {
    /// The message alone, for logs and tests; users see [`crate::report::Report`].
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nowhere = Source { origin: &crate::source::Origin::None, text: b"" };
        f.write_str(&String::from_utf8_lossy(&self.message(&nowhere)))?;
        match self.pos.offset() {
            Some(offset) => write!(f, " at byte {offset}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// What can be wrong with a source, or questionable in it. Texts are quoted from the source.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// A token that the grammar does not allow here.
    Unexpected {
        /// What Nix calls the token.
        found: &'static str,
        /// What could be here instead; empty if that is more than four things.
        expected: Vec<&'static str>,
    },
    /// A variable that is bound nowhere (`UndefinedVarError` in Nix).
    UndefinedVariable(Vec<u8>),
    /// An attribute is defined twice and both definitions are not sets.
    DuplicateAttribute {
        /// The attribute path as Nix prints it.
        path: Vec<u8>,
        /// Where it was defined before.
        previous: Pos,
    },
    /// Two formals of a set pattern, or a formal and the name after `@`, are the same.
    DuplicateFormal(Vec<u8>),
    /// `let ${a} = 1; in …`
    DynamicAttributeInLet,
    /// `inherit ${a};`
    DynamicAttributeInInherit,
    /// An integer literal beyond 64 bits.
    InvalidInteger(Vec<u8>),
    /// A float literal beyond the range of a double.
    InvalidFloat(Vec<u8>),
    /// A path literal that ends in `/`.
    PathTrailingSlash,
    /// A string literal with a null byte, after escapes.
    NullByte(Vec<u8>),
    /// `|>` or `<|` without the experimental feature.
    PipeOperatorsDisabled,
    /// `~/a` in pure evaluation.
    HomePathInPureMode(Vec<u8>),
    /// A URL literal, with the setting `lint-url-literals`.
    UrlLiteral {
        /// The literal.
        text: Vec<u8>,
        /// Whether the setting makes it an error.
        fatal: bool,
    },
    /// An absolute path literal, with the setting `lint-absolute-path-literals`.
    AbsolutePathLiteral(Vec<u8>),
    /// A home path literal, with the setting `lint-absolute-path-literals`.
    HomePathLiteral(Vec<u8>),
    /// A relative path literal without `./`, with the setting `lint-short-path-literals`.
    ShortPathLiteral(Vec<u8>),
    /// `or` used as an identifier where a later Nix will read the text differently.
    OrAsIdentifier {
        /// Offset after the expression.
        end: u32,
    },
    /// Brackets are nested deeper than [`crate::parser::Options::max_depth`] (ours: Nix has no such limit).
    TooDeep {
        /// The limit.
        limit: u32,
    },
    /// The source is larger than [`crate::ast::MAX_SOURCE_BYTES`] (ours).
    TooLarge,
}

impl Problem {
    fn message(&self, source: &Source<'_>) -> Vec<u8> {
        match self {
            Self::Unexpected { found, expected } => {
                let mut out = format!("syntax error, unexpected {found}");
                for (index, name) in expected.iter().enumerate() {
                    out.push_str(if index == 0 { ", expecting " } else { " or " });
                    out.push_str(name);
                }
                out.into_bytes()
            }
            Self::UndefinedVariable(name) => concat(&[b"undefined variable '", &identifier(name), b"'"]),
            Self::DuplicateAttribute { path, previous } => {
                concat(&[b"attribute '", path, b"' already defined at ", &source.describe(*previous)])
            }
            Self::DuplicateFormal(name) => concat(&[b"duplicate formal function argument '", name, b"'"]),
            Self::DynamicAttributeInLet => b"dynamic attributes not allowed in let".to_vec(),
            Self::DynamicAttributeInInherit => b"dynamic attributes not allowed in inherit".to_vec(),
            Self::InvalidInteger(text) => concat(&[b"invalid integer '", text, b"'"]),
            Self::InvalidFloat(text) => concat(&[b"invalid float '", text, b"'"]),
            Self::PathTrailingSlash => b"path has a trailing slash".to_vec(),
            Self::NullByte(text) => concat(&[
                b"input string '",
                &visible_nulls(text),
                b"' cannot be represented as Nix string because it contains null bytes",
            ]),
            Self::PipeOperatorsDisabled => b"experimental Nix feature 'pipe-operators' is disabled; \
                add '--extra-experimental-features pipe-operators' to enable it"
                .to_vec(),
            Self::HomePathInPureMode(text) => concat(&[b"the path '", text, b"' can not be resolved in pure mode"]),
            Self::OrAsIdentifier { .. } => b"this use of `or` as an identifier will change its meaning".to_vec(),
            Self::TooDeep { limit } => {
                format!("expression is nested too deeply: more than {limit} levels of brackets").into_bytes()
            }
            Self::TooLarge => b"source is too large: the limit is 4 GiB".to_vec(),
            Self::UrlLiteral { .. }
            | Self::AbsolutePathLiteral(_)
            | Self::HomePathLiteral(_)
            | Self::ShortPathLiteral(_) => self.lint_message(),
        }
    }

    /// Messages of lints end in the name of the setting.
    fn lint_message(&self) -> Vec<u8> {
        const PORTABLE: &[u8] = b" literals are not portable. Consider replacing path literal '";
        const BY: &[u8] = b"' by a string, relative path, or parameter (lint-absolute-path-literals)";
        match self {
            Self::UrlLiteral { text, fatal } => concat(&[
                b"URL literals are ",
                if *fatal { b"disallowed" } else { b"discouraged" },
                b". Consider using a string literal \"",
                text,
                b"\" instead (lint-url-literals)",
            ]),
            Self::AbsolutePathLiteral(text) => concat(&[b"absolute path", PORTABLE, text, BY]),
            Self::HomePathLiteral(text) => concat(&[b"home path", PORTABLE, text, BY]),
            Self::ShortPathLiteral(text) => concat(&[
                b"relative path literal '",
                text,
                b"' should be prefixed with '.' for clarity: './",
                text,
                b"' (lint-short-path-literals)",
            ]),
            _ => Vec::new(),
        }
    }
}

fn concat(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}

fn visible_nulls(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend_from_slice("␀".as_bytes()),
            other => out.push(*other),
        }
    }
    out
}
