//! Flags that commands share, in groups.

use super::{Complete, Flag};

/// Flags of every command.
pub(crate) const GLOBAL: &[Flag] = &[
    Flag::new("debug", "Tell everything there is to tell"),
    Flag::new("help", "Show what the command takes"),
    Flag::new("log-format", "Choose the form of messages: raw, internal-json, bar, bar-with-logs").takes(&["format"]),
    Flag::new("max-jobs", "Build this many derivations at the same time").short('j').takes(&["jobs"]),
    Flag::new("offline", "Use no network").also(&["no-net"]),
    Flag::new("option", "Set a setting, whatever nix.conf says").takes(&["name", "value"]).completed(Complete::Setting),
    Flag::new("print-build-logs", "Show what builders print").short('L'),
    Flag::new("quiet", "Tell less"),
    Flag::new("refresh", "Take nothing that was downloaded earlier"),
    Flag::new("verbose", "Tell more").short('v'),
    Flag::new("version", "Show the version"),
];

/// Flags of evaluation.
pub(crate) const EVAL: &[Flag] = &[
    Flag::new("arg", "Give functions the argument *name*, an expression").takes(&["name", "expr"]),
    Flag::new("arg-from-file", "Give functions the argument *name*, the contents of a file")
        .takes(&["name", "path"])
        .completed(Complete::Path),
    Flag::new("arg-from-stdin", "Give functions the argument *name*, what standard input holds").takes(&["name"]),
    Flag::new("argstr", "Give functions the argument *name*, a string").takes(&["name", "string"]),
    Flag::new("debugger", "Stop where evaluation fails"),
    Flag::new("eval-store", "Write derivations to this store").takes(&["store-url"]),
    Flag::new("impure", "Let evaluation read what is not named by a hash"),
    Flag::new("include", "Add an entry to the search path").short('I').takes(&["path"]).completed(Complete::Path),
    Flag::new("override-flake", "Take another flake where *original-ref* is asked for")
        .takes(&["original-ref", "resolved-ref"])
        .completed(Complete::FlakeRef),
    Flag::new("repair", "Build what is corrupt in the store again"),
];

/// Flags about the lock file of a flake.
pub(crate) const FLAKE: &[Flag] = &[
    Flag::new("commit-lock-file", "Commit the lock file if it changed"),
    Flag::new("inputs-from", "Look flakes up among the inputs of this one first")
        .takes(&["flake-url"])
        .completed(Complete::FlakeRef),
    Flag::new("no-registries", "Look flakes up in no registry"),
    Flag::new("no-update-lock-file", "Fail if the lock file would change"),
    Flag::new("no-write-lock-file", "Do not write the lock file"),
    Flag::new("output-lock-file", "Write the lock file here").takes(&["flake-lock-path"]).completed(Complete::Path),
    Flag::new("override-input", "Take another flake for an input")
        .takes(&["input-path", "flake-url"])
        .first(Complete::FlakeInput)
        .completed(Complete::FlakeRef),
    Flag::new("recreate-lock-file", "Make the lock file anew"),
    Flag::new("reference-lock-file", "Start from this lock file").takes(&["flake-lock-path"]).completed(Complete::Path),
    Flag::new("update-input", "Lock an input anew").takes(&["input-path"]).completed(Complete::FlakeInput),
];

/// Where installables are looked for.
pub(crate) const SOURCE: &[Flag] = &[
    Flag::new("expr", "Take attributes of this expression").takes(&["expr"]),
    Flag::new("file", "Take attributes of the expression in this file")
        .short('f')
        .takes(&["file"])
        .completed(Complete::Path),
];

/// For commands that take any number of installables.
pub(crate) const STDIN: &[Flag] = &[Flag::new("stdin", "Read installables from standard input")];

/// Output as JSON.
pub(crate) const JSON: &[Flag] = &[
    Flag::new("json", "Print JSON"),
    Flag::new("no-pretty", "Print JSON on one line"),
    Flag::new("pretty", "Print JSON on several lines"),
];

/// For commands that work on store paths.
pub(crate) const PATHS: &[Flag] = &[
    Flag::new("all", "Take every path of the store"),
    Flag::new("derivation", "Take the derivation instead of what it builds"),
    Flag::new("recursive", "Take all that is needed, too").short('r'),
];

/// For commands that start a program.
pub(crate) const ENVIRONMENT: &[Flag] = &[
    Flag::new("ignore-env", "Start with an empty environment").short('i').also(&["ignore-environment"]),
    Flag::new("keep-env-var", "Keep this variable of the environment").short('k').also(&["keep"]).takes(&["name"]),
    Flag::new("set-env-var", "Set a variable").short('s').takes(&["name", "value"]),
    Flag::new("unset-env-var", "Remove a variable").short('u').also(&["unset"]).takes(&["name"]),
];
