//! What maintainer scripts would have done: of it, what is done as data, what is not needed, and what is missing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::alternatives::{Parsed, parse_alternative, parse_diversion};
use super::lock::Lock;
use super::locking::DebianError;
use super::resolve::ResolveError;
use super::script::{self, Command};
use super::unpack::CONTROL_DIR;

/// Largest script that is read, in bytes.
const MAX_SCRIPT_BYTES: u64 = 16 << 20;

/// The scripts that run when a package is installed.
const SCRIPTS: [&str; 3] = ["preinst", "postinst", "config"];

/// What becomes of one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is not done, and a program may miss it.
    NotDone,
    /// It is done when the tree is joined.
    Done,
    /// A program in a tree of its own has no use for it.
    NotNeeded,
}

/// One thing that a script or trigger would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The package whose script it is.
    pub package: String,
    /// `postinst`, `triggers` and so on.
    pub script: String,
    /// The line in it, from 1; 0 where there is none.
    pub line: usize,
    /// The command, with `…` for what only running it could tell.
    pub command: String,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why, or how.
    pub reason: &'static str,
}

/// The effects of a package and of all that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was asked about.
    pub package: String,
    /// How many packages its closure has.
    pub closure_size: usize,
    /// How many of them have scripts.
    pub with_scripts: usize,
    /// The effects: of the package itself first, then by package.
    pub effects: Vec<Effect>,
}

/// Reads the scripts of a package and its closure. `unpacked` says where each package of the lock is unpacked; one that
/// is not there is passed over.
///
/// # Errors
/// The package is not in the lock, or a script cannot be read.
pub fn explain(lock: &Lock, package: &str, unpacked: &BTreeMap<String, PathBuf>) -> Result<Explanation, DebianError> {
    if !lock.packages.contains_key(package) {
        return Err(ResolveError::Unknown { name: package.to_owned(), similar: Vec::new() }.into());
    }
    let closure = lock.closure(&[package]);
    let mut explanation =
        Explanation { package: package.to_owned(), closure_size: closure.len(), with_scripts: 0, effects: Vec::new() };
    for name in [package].into_iter().chain(closure.into_iter().filter(|name| *name != package)) {
        let Some(root) = unpacked.get(name) else { continue };
        let control = root.join(CONTROL_DIR);
        let mut has_script = false;
        for script_name in SCRIPTS {
            let bytes = nopal_fs::if_exists(nopal_fs::read_file_limited(&control.join(script_name), MAX_SCRIPT_BYTES))?;
            let Some(bytes) = bytes else { continue };
            has_script = true;
            explanation.effects.extend(script_effects(name, script_name, &String::from_utf8_lossy(&bytes)));
        }
        let triggers = nopal_fs::if_exists(nopal_fs::read_file_limited(&control.join("triggers"), MAX_SCRIPT_BYTES))?;
        if let Some(bytes) = triggers {
            explanation.effects.extend(trigger_effects(name, &String::from_utf8_lossy(&bytes)));
        }
        explanation.with_scripts += usize::from(has_script);
    }
    Ok(explanation)
}

/// The effects of one script. Commands that only steer the script are left out.
fn script_effects(package: &str, script_name: &str, text: &str) -> Vec<Effect> {
    let first_line = text.lines().next().unwrap_or_default();
    if first_line.starts_with("#!") && !first_line.contains("sh") {
        return vec![Effect {
            package: package.to_owned(),
            script: script_name.to_owned(),
            line: 1,
            command: first_line.to_owned(),
            verdict: Verdict::NotDone,
            reason: "the script is not in the shell's language and is not read",
        }];
    }
    let mut effects: Vec<Effect> = Vec::new();
    for command in script::commands(text) {
        let Some((verdict, reason)) = classify(&command) else { continue };
        let text = command.to_string();
        if effects.iter().any(|effect| effect.command == text) {
            continue;
        }
        effects.push(Effect {
            package: package.to_owned(),
            script: script_name.to_owned(),
            line: command.line,
            command: text,
            verdict,
            reason,
        });
    }
    effects
}

/// Commands that only steer a script, ask, or tell.
const STEERING: [&str; 46] = [
    "set", "echo", "printf", "test", "[", "[[", "true", "false", ":", "exit", "return", "shift", "break", "continue",
    "export", "local", "unset", "read", "cd", "pwd", "umask", "trap", "command", "which", "type", "grep", "sed", "awk",
    "cut", "tr", "head", "tail", "sort", "uniq", "cat", "find", "dirname", "basename", "readlink", "realpath",
    "getent", "id", "expr", "ls", ".", "eval",
];

/// Commands by what becomes of their effect.
const KNOWN: [(&[&str], Verdict, &str); 9] = [
    (&["ldconfig"], Verdict::Done, "the linker's cache is written when the tree is joined"),
    (
        &["update-ca-certificates"],
        Verdict::Done,
        "the CA bundle and its links are made of the certificates in the tree",
    ),
    (
        &[
            "deb-systemd-helper",
            "deb-systemd-invoke",
            "systemctl",
            "invoke-rc.d",
            "update-rc.d",
            "service",
            "systemd-tmpfiles",
            "systemd-sysusers",
            "udevadm",
            "telinit",
            "init",
            "start-stop-daemon",
            "runlevel",
        ],
        Verdict::NotNeeded,
        "services are not started from a tree",
    ),
    (
        &[
            "dpkg",
            "dpkg-query",
            "dpkg-maintscript-helper",
            "dpkg-trigger",
            "dpkg-statoverride",
            "dpkg-reconfigure",
            "rm_conffile",
            "mv_conffile",
            "ucf",
            "ucfr",
            "rm",
            "rmdir",
            "mv",
            "deb-systemd",
            "update-passwd",
            "pam-auth-update",
            "add-shell",
            "update-shells",
            "remove-shell",
            "addgroup",
            "adduser",
            "groupadd",
            "useradd",
            "usermod",
            "delgroup",
            "deluser",
        ],
        Verdict::NotNeeded,
        "it maintains an installed system: a tree is never upgraded and has no users",
    ),
    (
        &[
            "py3compile",
            "pypy3compile",
            "pycompile",
            "py3clean",
            "pyclean",
            "emacs-package-install",
            "install-info",
            "update-info-dir",
        ],
        Verdict::NotNeeded,
        "it only makes a start faster or an index nicer",
    ),
    (
        &["chown", "chmod", "chgrp", "setcap", "setfattr"],
        Verdict::NotNeeded,
        "owners, set-user-id bits and capabilities have no effect without root",
    ),
    (
        &[
            "update-mime-database",
            "update-desktop-database",
            "glib-compile-schemas",
            "gio-querymodules",
            "gdk-pixbuf-query-loaders",
            "gtk-update-icon-cache",
            "gtk-query-immodules-3.0",
            "fc-cache",
            "update-icon-caches",
            "update-fonts-dir",
            "update-fonts-scale",
            "mktexlsr",
            "updmap-sys",
            "fmtutil-sys",
            "texhash",
            "update-xmlcatalog",
            "update-catalog",
            "locale-gen",
            "update-locale",
            "validlocale",
        ],
        Verdict::NotDone,
        "the cache that it writes is missing: programs fall back to slower search, or do not see the entries",
    ),
    (
        &["mkdir", "touch", "ln", "cp", "install", "mknod", "mkfifo", "tee", "dd"],
        Verdict::NotDone,
        "the file or directory that it makes is missing",
    ),
    (
        &["usrmerge", "convert-usrmerge"],
        Verdict::Done,
        "trees are always joined with /bin, /lib and /sbin merged into /usr",
    ),
];

fn classify(command: &Command) -> Option<(Verdict, &'static str)> {
    match parse_alternative(command) {
        Parsed::Is(_) => {
            return Some((Verdict::Done, "the links are made when the tree is joined; the highest priority wins"));
        }
        Parsed::Unknown => {
            return Some((Verdict::NotDone, "the choice depends on what only running the script could tell"));
        }
        Parsed::Other => {}
    }
    match parse_diversion(command) {
        Parsed::Is(_) => return Some((Verdict::Done, "the diverted files of other packages are put where this says")),
        Parsed::Unknown => {
            return Some((Verdict::NotDone, "the diversion depends on what only running the script could tell"));
        }
        Parsed::Other => {}
    }
    let Some(name) = command.name() else {
        return Some((Verdict::NotDone, "which program this is, only running the script could tell"));
    };
    if STEERING.contains(&name) || name.starts_with("db_") || name.contains('=') {
        return None;
    }
    if ["update-alternatives", "dpkg-divert"].contains(&name) {
        // removals and queries
        return Some((Verdict::NotNeeded, "a tree is never upgraded"));
    }
    for (names, verdict, reason) in KNOWN {
        if names.contains(&name) {
            return Some((verdict, reason));
        }
    }
    Some((Verdict::NotDone, "nothing is known about this command"))
}

/// What a package asks dpkg to be told of, or tells others.
fn trigger_effects(package: &str, text: &str) -> Vec<Effect> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter_map(|line| {
            let (directive, name) = line.split_once(char::is_whitespace)?;
            let (verdict, reason) = match (directive.starts_with("activate"), name.trim()) {
                (true, "ldconfig") => (Verdict::Done, "the linker's cache is written when the tree is joined"),
                (true, "update-ca-certificates" | "update-ca-certificates-fresh") => {
                    (Verdict::Done, "the CA bundle and its links are made of the certificates in the tree")
                }
                (true, _) => (Verdict::NotDone, "what the other package does when told is not done"),
                (false, "ldconfig" | "update-ca-certificates" | "update-ca-certificates-fresh") => return None,
                (false, _) => (Verdict::NotDone, "the package would work on files of other packages; it does not"),
            };
            Some(Effect {
                package: package.to_owned(),
                script: "triggers".to_owned(),
                line: 0,
                command: line.to_owned(),
                verdict,
                reason,
            })
        })
        .collect()
}

impl Explanation {
    /// How many effects have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.effects.iter().filter(|effect| effect.verdict == verdict).count()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} packages in its closure, {} with maintainer scripts. None of the scripts is run.",
            self.package, self.closure_size, self.with_scripts
        )?;
        writeln!(f, "Always done: /bin, /lib and /sbin merged into /usr; /etc/ld.so.cache; /etc/nsswitch.conf.")?;
        for (verdict, title) in [
            (Verdict::Done, "Done as data when the tree is joined"),
            (Verdict::NotDone, "Not done"),
            (Verdict::NotNeeded, "Not needed"),
        ] {
            if self.count(verdict) == 0 {
                continue;
            }
            writeln!(f, "\n{title}:")?;
            let mut last = None;
            for effect in self.effects.iter().filter(|effect| effect.verdict == verdict) {
                if last != Some(&effect.package) {
                    writeln!(f, "  {}", effect.package)?;
                    last = Some(&effect.package);
                }
                writeln!(f, "    {}: {}", effect.script, effect.command)?;
                writeln!(f, "      ({})", effect.reason)?;
            }
        }
        Ok(())
    }
}
