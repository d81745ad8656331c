//! The Nix language: lexer, parser, syntax tree with spans, diagnostics.
//!
//! The room is pure: bytes in, a flat syntax tree or a [`Diagnostic`] out. No file is read here; what depends on the
//! world (the directory of the file, the home directory) is an argument where it is needed ([`path::resolve`]).
//!
//! The way of a source: [`parser::parse`] makes an [`Ast`] with names in an [`Interner`] that all sources share,
//! [`scope::check`] finds unbound variables, and an evaluator or [`printer::print`] reads the tree. An error becomes
//! the text that users see in [`report`].

pub mod ast;
mod automaton;
pub mod diagnostic;
mod grammar;
pub mod interner;
mod lexer;
pub mod number;
pub mod packed;
pub mod parser;
pub mod path;
pub mod printer;
pub mod report;
mod runs;
pub mod scope;
pub mod source;
mod token;
mod tokens;
pub mod units;

pub use ast::{Ast, Expr, ExprId};
pub use diagnostic::Diagnostic;
pub use interner::{Interner, Symbol};
pub use parser::parse;
pub use tokens::tokens;
