//! The Nix language: lexer, parser, syntax tree with spans, diagnostics.
