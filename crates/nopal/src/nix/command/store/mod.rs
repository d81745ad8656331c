//! `nix store`: the store itself.

mod add;
mod care;
mod contents;
mod info;
mod sign;

use crate::nix::cli::{Arg, Command, Complete, EVAL, FLAKE, Flag, JSON, PATHS, SOURCE, STDIN};

/// `nix store`.
pub(super) const COMMAND: Command = Command::group(
    "store",
    "look at the store and take care of it",
    &[
        Command::new("add", "add a file or folder", &[add::FLAGS], PATH, |line| add::run(line, "nar")),
        Command::new("add-file", "add a file; use `nix store add --mode flat`", &[add::FLAGS], PATH, |line| {
            add::run(line, "flat")
        }),
        Command::new("add-path", "another name of `nix store add`", &[add::FLAGS], PATH, |line| add::run(line, "nar")),
        Command::new("cat", "print a file of the store", &[], PATH, contents::cat),
        Command::new(
            "delete",
            "delete store paths",
            &[DELETE, PATHS, STDIN, SOURCE, EVAL, FLAKE],
            INSTALLABLES,
            care::delete,
        ),
        Command::new(
            "dump-path",
            "print the archive of a store path",
            &[PATHS, STDIN, SOURCE, EVAL, FLAKE],
            INSTALLABLES,
            contents::dump,
        ),
        Command::new("gc", "delete what nothing needs", &[GC], &[], care::collect),
        Command::new("info", "tell which store it is", &[JSON], &[], info::run),
        Command::new("ls", "list a folder of the store", &[crate::nix::command::nar::LS, JSON], PATH, contents::list),
        Command::new("optimise", "link files with equal contents to each other", &[], &[], care::optimise),
        Command::new(
            "path-from-hash-part",
            "print the store path with a hash",
            &[],
            &[Arg::one("hash-part", Complete::Nothing)],
            info::path_from_hash_part,
        ),
        Command::new("sign", "sign store paths", &[SIGN, PATHS, STDIN, SOURCE, EVAL, FLAKE], INSTALLABLES, sign::sign),
        Command::new(
            "verify",
            "check that store paths are whole and signed",
            &[VERIFY, PATHS, STDIN, SOURCE, EVAL, FLAKE],
            INSTALLABLES,
            sign::verify,
        ),
    ],
);

/// `nix key`.
pub(super) const KEY: Command = Command::group(
    "key",
    "make keys to sign with",
    &[
        Command::new(
            "convert-secret-to-public",
            "print the public key of the secret key on standard input",
            &[],
            &[],
            sign::to_public,
        ),
        Command::new("generate-secret", "print a new secret key", &[KEY_NAME], &[], sign::new_key),
    ],
);

const PATH: &[Arg] = &[Arg::one("path", Complete::Path)];
const INSTALLABLES: &[Arg] = &[Arg::rest("installables", Complete::Installable)];
const KEY_NAME: &[Flag] = &[Flag::new("key-name", "Name the key").takes(&["name"])];
const DELETE: &[Flag] = &[Flag::new("ignore-liveness", "Delete what roots need, too")];
const GC: &[Flag] = &[
    Flag::new("dry-run", "Only tell how much would go"),
    Flag::new("max", "Stop when this many bytes are free").takes(&["n"]),
];
const SIGN: &[Flag] = &[Flag::new("key-file", "The secret key").short('k').takes(&["file"]).completed(Complete::Path)];
const VERIFY: &[Flag] = &[
    Flag::new("no-contents", "Do not read the contents"),
    Flag::new("no-trust", "Do not look at signatures"),
    Flag::new("sigs-needed", "How many signatures are needed").short('n').takes(&["n"]),
    Flag::new("substituter", "Take signatures of this store").short('s').takes(&["store-uri"]),
];
