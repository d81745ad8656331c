//! The Nix language: lexer, parser, syntax tree with spans, diagnostics.
//!
//! The room is pure: bytes in, a flat syntax tree or a [`Diagnostic`] out. No file is read here; what depends on the
//! world (the directory of the file, the home directory) is an argument where it is needed (`path::resolve`).
//!
//! [`Diagnostic`]: diagnostic::Diagnostic

pub mod ast;
pub mod diagnostic;
pub mod interner;

pub use ast::{Ast, Expr, ExprId};
pub use diagnostic::Diagnostic;
pub use interner::{Interner, Symbol};
