//! The evaluator of the Nix language: compiler, values, builtins, and the host boundary.
