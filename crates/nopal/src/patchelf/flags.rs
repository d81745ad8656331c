//! patchelf's command line.

use super::{Failure, with_cause};
use nopal_elf::Options;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::vec::IntoIter;

/// What is asked for.
pub(super) enum Task {
    Help,
    Version,
    Patch(Box<Flags>),
}

/// What is printed and changed.
#[derive(Default)]
pub(super) struct Flags {
    pub(super) files: Vec<OsString>,
    pub(super) options: Options,
    pub(super) output: Option<Vec<u8>>,
    pub(super) print_interpreter: bool,
    pub(super) print_os_abi: bool,
    pub(super) print_soname: bool,
    pub(super) print_rpath: bool,
    pub(super) print_exec_stack: bool,
    pub(super) print_needed: bool,
    pub(super) os_abi: Option<u8>,
    pub(super) soname: Option<Vec<u8>>,
    pub(super) interpreter: Option<Vec<u8>>,
    pub(super) exec_stack: Option<bool>,
    pub(super) shrink_rpath: bool,
    pub(super) allowed_prefixes: Vec<Vec<u8>>,
    pub(super) remove_rpath: bool,
    pub(super) set_rpath: Option<Vec<u8>>,
    pub(super) add_rpath: Option<Vec<u8>>,
    pub(super) remove_needed: BTreeSet<Vec<u8>>,
    pub(super) replace_needed: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) add_needed: BTreeSet<Vec<u8>>,
    pub(super) clear_versions: BTreeSet<Vec<u8>>,
    pub(super) no_default_lib: bool,
    pub(super) add_debug_tag: bool,
    pub(super) build_cache: bool,
    pub(super) renames: Option<BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// The names of ABIs that are printed, by their numbers, and others that are understood.
const OS_ABIS: &[(u8, &str, &[&str])] = &[
    (0, "System V", &["system-v", "sysv"]),
    (1, "HP-UX", &[]),
    (2, "NetBSD", &[]),
    (3, "Linux", &["gnu"]),
    (4, "GNU Hurd", &["gnu-hurd", "hurd"]),
    (6, "Solaris", &[]),
    (7, "AIX", &[]),
    (8, "IRIX", &[]),
    (9, "FreeBSD", &[]),
    (10, "Tru64", &[]),
    (12, "OpenBSD", &[]),
    (13, "OpenVMS", &[]),
];

/// The name of an ABI.
pub(super) fn os_abi_name(abi: u8) -> String {
    let known = OS_ABIS.iter().find(|(number, ..)| *number == abi);
    known.map_or_else(|| format!("0x{abi:02X}"), |(_, name, _)| (*name).to_owned())
}

fn os_abi(name: &[u8]) -> Result<u8, Failure> {
    let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
    let known =
        OS_ABIS.iter().find(|(_, shown, others)| shown.to_ascii_lowercase() == name || others.contains(&name.as_str()));
    known.map(|(number, ..)| *number).ok_or_else(|| "unrecognized OS ABI".to_owned())
}

/// The parts between colons; nothing after the last one is no part.
pub(super) fn split_colons(text: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = text.split(|byte| *byte == b':').map(<[u8]>::to_vec).collect::<Vec<_>>();
    if parts.last().is_some_and(Vec::is_empty) {
        parts.pop();
    }
    parts
}

/// The words of the command line.
struct Words(IntoIter<OsString>);

impl Words {
    /// The next word, as it is.
    fn raw(&mut self) -> Result<Vec<u8>, Failure> {
        self.0.next().map(OsString::into_vec).ok_or_else(|| "missing argument".to_owned())
    }

    /// The next word; `@FILE` stands for what is in the file.
    fn value(&mut self) -> Result<Vec<u8>, Failure> {
        let word = self.raw()?;
        let Some(name) = word.strip_prefix(b"@") else { return Ok(word) };
        let path = Path::new(OsStr::from_bytes(name));
        nopal_fs::read_file(path)
            .map_err(|error| with_cause(&format!("getting info about '{}'", path.display()), error.io()))
    }
}

/// Understands a command line.
pub(super) fn parse(words: Vec<OsString>) -> Result<Task, Failure> {
    let mut words = Words(words.into_iter());
    let mut flags = Flags::default();
    while let Some(word) = words.0.next() {
        match word.to_str().unwrap_or_default() {
            "--help" | "-h" => return Ok(Task::Help),
            "--version" => return Ok(Task::Version),
            "--set-interpreter" | "--interpreter" => flags.interpreter = Some(words.value()?),
            "--page-size" => flags.options.page_bytes = page_size(&words.raw()?)?,
            "--print-interpreter" => flags.print_interpreter = true,
            "--print-os-abi" => flags.print_os_abi = true,
            "--set-os-abi" => flags.os_abi = Some(os_abi(&words.value()?)?),
            "--print-soname" => flags.print_soname = true,
            "--set-soname" => flags.soname = Some(words.value()?),
            "--remove-rpath" => flags.remove_rpath = true,
            "--shrink-rpath" => flags.shrink_rpath = true,
            "--allowed-rpath-prefixes" => flags.allowed_prefixes = split_colons(&words.raw()?),
            "--set-rpath" => flags.set_rpath = Some(words.value()?),
            "--add-rpath" => flags.add_rpath = Some(words.value()?),
            "--print-rpath" => flags.print_rpath = true,
            "--force-rpath" => flags.options.force_rpath = true,
            "--print-needed" => flags.print_needed = true,
            // headers keep their order anyway
            "--no-sort" | "--debug" => {}
            "--add-needed" => {
                flags.add_needed.insert(words.value()?);
            }
            "--remove-needed" => {
                flags.remove_needed.insert(words.value()?);
            }
            "--replace-needed" => {
                let pair = words.raw().and_then(|old| Ok((old, words.raw()?)));
                let (old, new) = pair.map_err(|_| "missing argument(s)".to_owned())?;
                flags.replace_needed.insert(old, new);
            }
            "--clear-symbol-version" => {
                flags.clear_versions.insert(words.value()?);
            }
            "--print-execstack" => flags.print_exec_stack = true,
            "--clear-execstack" => flags.exec_stack = Some(false),
            // clearing wins
            "--set-execstack" => flags.exec_stack = flags.exec_stack.or(Some(true)),
            "--output" => flags.output = Some(words.value()?),
            "--no-default-lib" => flags.no_default_lib = true,
            "--add-debug-tag" => flags.add_debug_tag = true,
            "--build-resolution-cache" => flags.build_cache = true,
            "--rename-dynamic-symbols" => flags.renames = Some(read_renames(&words.raw()?)?),
            "--no-clobber-old-sections" => flags.options.clobber = false,
            _ => flags.files.push(word),
        }
    }
    if flags.files.is_empty() {
        return Err("missing filename".to_owned());
    }
    if flags.options.force_rpath && flags.build_cache {
        return Err("--build-resolution-cache cannot be combined with --force-rpath".to_owned());
    }
    if flags.output.is_some() && flags.files.len() != 1 {
        return Err("--output option only allowed with single input file".to_owned());
    }
    if flags.set_rpath.is_some() && flags.add_rpath.is_some() {
        return Err("--set-rpath option not allowed with --add-rpath".to_owned());
    }
    Ok(Task::Patch(Box::new(flags)))
}

/// A size of pages: leading digits count, as for `atoi`.
fn page_size(text: &[u8]) -> Result<u64, Failure> {
    let text = text.trim_ascii();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let size = std::str::from_utf8(&text[..digits]).ok().and_then(|digits| digits.parse().ok());
    match size {
        Some(size) if (1..=i32::MAX as u64).contains(&size) && u64::is_power_of_two(size) => Ok(size),
        _ => Err("invalid argument to --page-size".to_owned()),
    }
}

/// Reads pairs of names, one a line.
fn read_renames(name: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Failure> {
    let path = Path::new(OsStr::from_bytes(name));
    let shown = path.display();
    let text =
        nopal_fs::read_file(path).map_err(|error| with_cause(&format!("Cannot open map file {shown}"), error.io()))?;
    let mut renames = BTreeMap::new();
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(from) = words.next() else { break };
        let Some(to) = words.next() else {
            return Err(format!("{shown}:{number}: Map file line is missing the second element"));
        };
        let (old, new) = (String::from_utf8_lossy(from), String::from_utf8_lossy(to));
        if renames.contains_key(from) {
            return Err(format!("{shown}:{number}: Name '{old}' appears twice in the map file"));
        }
        if from.contains(&b'@') || to.contains(&b'@') {
            return Err(format!("{shown}:{number}: Name pair contains version tag: {old} {new}"));
        }
        renames.insert(from.to_vec(), to.to_vec());
    }
    Ok(renames)
}

/// All flags, a line each, with what they take and do.
const FLAGS: &[(&str, &str)] = &[
    ("--set-interpreter FILENAME", "Sets the program interpreter."),
    ("--page-size SIZE", "Lays segments out for pages of SIZE bytes."),
    ("--print-interpreter", "Prints the program interpreter."),
    ("--print-os-abi", "Prints the ABI of the ELF header."),
    ("--set-os-abi ABI", "Sets the ABI of the ELF header."),
    ("--print-soname", "Prints the name of a library."),
    ("--set-soname SONAME", "Sets the name of a library."),
    ("--set-rpath RPATH", "Sets the run path."),
    ("--add-rpath RPATH", "Appends to the run path."),
    ("--remove-rpath", "Removes the run path."),
    ("--shrink-rpath", "Keeps the directories of the run path that have a needed library."),
    ("--allowed-rpath-prefixes PREFIXES", "With --shrink-rpath: only directories that begin with one of them."),
    ("--print-rpath", "Prints the run path."),
    ("--force-rpath", "Writes DT_RPATH instead of DT_RUNPATH."),
    ("--add-needed LIBRARY", "Adds a library, before the others."),
    ("--remove-needed LIBRARY", "Removes a library."),
    ("--replace-needed LIBRARY NEW_LIBRARY", "Replaces a library, also where versions are asked for."),
    ("--print-needed", "Prints the needed libraries."),
    ("--no-default-lib", "Lets the loader not look in its own directories."),
    ("--no-sort", "Is taken without effect: headers keep their order."),
    ("--clear-symbol-version SYMBOL", "Lets a symbol ask for no version."),
    ("--add-debug-tag", "Adds the entry that debuggers look for."),
    ("--build-resolution-cache", "Notes where the needed libraries are found."),
    ("--print-execstack", "Prints whether the stack is to be executable."),
    ("--clear-execstack", "Asks for a stack that is not executable."),
    ("--set-execstack", "Asks for an executable stack."),
    ("--rename-dynamic-symbols NAME_MAP_FILE", "Renames symbols: an old and a new name a line."),
    ("--no-clobber-old-sections", "Leaves the old bytes of what is moved."),
    ("--output FILE", "Writes the result to FILE."),
    ("--debug", "Is taken without effect."),
    ("--version", "Prints the version."),
];

/// What `--help` shows.
pub(super) fn help() -> String {
    let mut text = String::from("syntax: patchelf\n");
    for (flag, meaning) in FLAGS {
        text.push_str(&format!("  [{flag}]\t\t{meaning}\n"));
    }
    text.push_str("  FILENAME...\n");
    text
}
