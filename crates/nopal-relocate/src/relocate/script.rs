//! Scripts that find their interpreter from wherever they are.
//!
//! The kernel takes only absolute paths for interpreters. So a launcher takes the script's place; the script itself lies
//! in a hidden folder beside the one it was in, under its name. That is what it gets to see as `$0`: its name is right,
//! and so is what it finds by going up from there. Links to its neighbours lie beside it if it may look for some.

use super::launched::{PROGRAM_MODE, architecture, from_here, launcher};
use super::{Kind, RelocateError, Verdict, Work};
use crate::paths;
use crate::wrap::{self, Architecture, Launch, Piece, Text};
use memchr::memmem;
use nopal_elf::resolve::Tree as _;
use nopal_fs::FsError;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The kernel reads no more of a script.
const SHEBANG_BYTES: usize = 256;

/// The kernel follows no more scripts that interpret each other.
const MAX_SCRIPTS: usize = 4;

/// Words of scripts that may look for files beside them.
const NEIGHBOURLY: [&[u8]; 8] =
    [b"$0", b"dirname", b"__file__", b"FindBin", b"BASH_SOURCE", b"__dir", b"PROGRAM_NAME", b"require"];

/// Names of scripts end so that are given to an interpreter, or read by other scripts.
const READ_BY_OTHERS: [&[u8]; 11] =
    [b".sh", b".bash", b".py", b".pl", b".pm", b".rb", b".js", b".mjs", b".cjs", b".tcl", b".lua"];

/// In such folders are Ruby's packages, the programs of which are loaded by others of the same names.
const GEMS: &str = "gems";

/// What the first line of a script says.
struct Shebang<'a> {
    interpreter: &'a [u8],
    /// All of the rest is one argument.
    argument: Option<&'a [u8]>,
}

impl Work {
    /// Has scripts start by a launcher.
    pub(super) fn scripts(&mut self) -> Result<(), RelocateError> {
        for index in 0..self.members.len() {
            if self.members[index].kind != Kind::Script {
                continue;
            }
            let below = self.members[index].below.clone();
            if let Some(verdict) = self.script(index, &below)? {
                self.found(&below, verdict);
            }
        }
        self.links_to_scripts()
    }

    /// Puts a launcher in the place of a script, if it needs one.
    fn script(&mut self, index: usize, below: &Path) -> Result<Option<Verdict>, RelocateError> {
        let path = self.root.join(below);
        if wrap::portable::is_script(&path) {
            return Ok(None);
        }
        let text = nopal_fs::read_file(&path)?;
        let Some(shebang) = Shebang::read(&text) else { return Ok(None) };
        let stays = |reason: &str| Ok(Some(Verdict::Stays(reason.to_owned())));
        if !shebang.interpreter.starts_with(b"/") {
            return stays("its interpreter is looked for in the working directory");
        }
        if is_read_by_others(below) {
            return stays("others read it, as its name or place tells, and could not read a launcher");
        }
        let hidden = match self.hidden(below) {
            Ok(hidden) => hidden,
            Err(reason) => return stays(&reason),
        };
        let (launcher, files) = match self.launcher_of_script(below, &shebang, paths::logical(&hidden)) {
            Ok(made) => made,
            Err(reason) => return stays(&reason),
        };
        let looks_beside = NEIGHBOURLY.iter().any(|word| memmem::find(&text, word).is_some());
        self.put_launcher(index, hidden, looks_beside, &launcher)?;
        Ok(Some(Verdict::Script { files }))
    }

    /// Puts launchers in the place of links, under other names, to scripts that stay as they are.
    fn links_to_scripts(&mut self) -> Result<(), RelocateError> {
        let staying = self.of_kind(Kind::Script).into_iter().filter(|below| is_read_by_others(below));
        let staying = staying.map(|below| paths::logical(&below)).collect::<BTreeSet<_>>();
        for below in self.of_kind(Kind::Link).into_iter().filter(|below| !is_read_by_others(below)) {
            let target = self.tree.canonical(&paths::logical(&below)).filter(|target| staying.contains(target));
            let Some(target) = target else { continue };
            let text = nopal_fs::read_file(&self.root.join(&below))?;
            let made = Shebang::read(&text).map(|shebang| self.launcher_of_script(&below, &shebang, target));
            // others are told of where the script is
            let Some(Ok((launcher, files))) = made else { continue };
            nopal_fs::remove_file(&self.root.join(&below))?;
            nopal_fs::write_new(&self.root.join(&below), &launcher, PROGRAM_MODE)?;
            self.found.retain(|(known, _)| *known != below);
            self.found(&below, Verdict::Script { files });
            self.members.retain(|member| member.below != below);
        }
        Ok(())
    }

    /// What starts a script from a place, and the files that takes: the script and its interpreter.
    fn launcher_of_script(
        &self,
        place: &Path,
        shebang: &Shebang<'_>,
        script: Vec<u8>,
    ) -> Result<(Vec<u8>, Vec<Vec<u8>>), String> {
        let (name, argument) = self.without_search(shebang);
        let found = self.interpreter(&name);
        let missing = || format!("its interpreter {} is not among what is relocated", name.escape_ascii());
        let (interpreter, architecture) = found.ok_or_else(missing)?;
        let here = paths::logical(place.parent().unwrap_or(Path::new("")));
        let mut before = Vec::new();
        if let Some(argument) = argument {
            before.extend([Piece::Literal(argument.to_vec()), Piece::Break]);
        }
        before.extend(from_here(&here, &script).0);
        let launch = Launch {
            target: from_here(&here, &interpreter),
            name: Text(vec![Piece::Target]),
            before: Text(before),
            ..Launch::default()
        };
        Ok((launcher(&launch, architecture)?, vec![script, interpreter]))
    }

    /// The interpreter, and its argument. A program that `env` would look for is the one beside it, if there is one.
    fn without_search<'a>(&self, shebang: &Shebang<'a>) -> (Vec<u8>, Option<&'a [u8]>) {
        let (interpreter, argument) = (shebang.interpreter.to_vec(), shebang.argument);
        let is_env = paths::name(&interpreter) == b"env";
        let is_name = |word: &&[u8]| !word.iter().any(|byte| b" \t/=-".contains(byte));
        let Some(name) = argument.filter(|_| is_env).filter(is_name) else { return (interpreter, argument) };
        let beside = [paths::folder(&interpreter), b"/", name].concat();
        if self.tree.open(&beside).is_ok() { (beside, None) } else { (interpreter, argument) }
    }

    /// An interpreter, the name it goes by kept, and its processor, if there is a launcher for it.
    fn interpreter(&self, path: &[u8]) -> Option<(Vec<u8>, Option<Architecture>)> {
        self.tree.open(path).ok()?;
        let folder = self.tree.canonical(paths::folder(path))?;
        let name = &path[path.iter().rposition(|byte| *byte == b'/')?..];
        Some(([&folder, name].concat(), self.processor(path, MAX_SCRIPTS)))
    }

    /// The processor of a program, or of what interprets a script, which may be so many scripts in turn.
    fn processor(&self, path: &[u8], scripts: usize) -> Option<Architecture> {
        let file = self.tree.open(path).ok()?.file;
        architecture(&file).or_else(|| {
            let text = nopal_fs::read_file(&self.tree.real(path)?).ok()?;
            self.processor(Shebang::read(&text)?.interpreter, scripts.checked_sub(1)?)
        })
    }

    /// Where a file comes to lie that a launcher stands for: in a hidden folder beside its own.
    pub(super) fn hidden(&self, below: &Path) -> Result<PathBuf, String> {
        let hidden = hidden(below).ok_or("it lies in the root, where no launcher can take its place")?;
        // a link to it may be there, as a neighbour of others
        match nopal_fs::symlink_metadata_if_exists(&self.root.join(&hidden)) {
            Ok(Some(found)) if !found.is_symlink() => {
                Err(format!("/{} is there, where it would have to lie", hidden.display()))
            }
            Ok(_) => Ok(hidden),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Puts a launcher in the place of a file, which lies in a hidden folder from then on.
    pub(super) fn put_launcher(
        &mut self,
        index: usize,
        hidden: PathBuf,
        looks_beside: bool,
        launcher: &[u8],
    ) -> Result<(), FsError> {
        let below = std::mem::replace(&mut self.members[index].below, hidden);
        self.hide(&below, &self.members[index].below, looks_beside)?;
        nopal_fs::write_new(&self.root.join(&below), launcher, PROGRAM_MODE)
    }

    /// Moves a file to a hidden folder, with links to its neighbours if it looks for some beside itself.
    fn hide(&self, below: &Path, hidden: &Path, looks_beside: bool) -> Result<(), FsError> {
        let folder = hidden.parent().unwrap_or(Path::new(""));
        nopal_fs::create_dir_all(&self.root.join(folder))?;
        if looks_beside {
            self.link_neighbours(below, folder)?;
        }
        let place = self.root.join(hidden);
        nopal_fs::remove_file_if_exists(&place)?;
        nopal_fs::rename(&self.root.join(below), &place)
    }

    /// Links to all that lies beside a file, in the folder where it is going to lie.
    fn link_neighbours(&self, below: &Path, folder: &Path) -> Result<(), FsError> {
        let here = below.parent().unwrap_or(Path::new(""));
        let Some(here_name) = here.file_name() else { return Ok(()) };
        for name in nopal_fs::read_dir_names(&self.root.join(here))? {
            let link = self.root.join(folder).join(&name);
            if nopal_fs::symlink_metadata_if_exists(&link)?.is_none() {
                nopal_fs::symlink(&Path::new("..").join(here_name).join(&name), &link)?;
            }
        }
        Ok(())
    }
}

/// Whether a launcher stands for a file: one of a tree that was relocated before.
pub(super) fn is_launched(root: &Path, below: &Path) -> bool {
    let visible = || {
        let folder = below.parent()?;
        let name = folder.file_name()?.as_bytes().strip_prefix(b".")?;
        Some(root.join(folder.with_file_name(OsStr::from_bytes(name))).join(below.file_name()?))
    };
    visible().is_some_and(|path| wrap::read(&path).is_ok() || wrap::portable::is_script(&path))
}

/// Whether a script's name, or where it is, tells that others read it.
fn is_read_by_others(below: &Path) -> bool {
    let name = below.file_name().unwrap_or_default();
    let is_of_gem = below.components().any(|part| part.as_os_str() == GEMS);
    is_of_gem || READ_BY_OTHERS.iter().any(|end| name.as_encoded_bytes().ends_with(end))
}

/// The place in a hidden folder beside the one of a file. Nothing for a file in the root.
fn hidden(below: &Path) -> Option<PathBuf> {
    let folder = below.parent()?;
    let mut name = OsString::from(".");
    name.push(folder.file_name()?);
    Some(folder.with_file_name(name).join(below.file_name()?))
}

impl<'a> Shebang<'a> {
    /// Reads the first line as the kernel does (fs/binfmt_script.c).
    fn read(text: &'a [u8]) -> Option<Self> {
        let head = &text[..text.len().min(SHEBANG_BYTES)];
        let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
        let line = line.trim_ascii();
        let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
        let (interpreter, rest) = line.split_at(end);
        let rest = rest.trim_ascii();
        (!interpreter.is_empty()).then_some(Self { interpreter, argument: (!rest.is_empty()).then_some(rest) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_are_read_as_the_kernel_does() {
        for (text, interpreter, argument) in [
            (&b"#!/bin/sh\necho"[..], &b"/bin/sh"[..], None),
            (b"#! /usr/bin/env  -S a b \n", b"/usr/bin/env", Some(&b"-S a b"[..])),
            (b"#!/bin/sh", b"/bin/sh", None),
        ] {
            let shebang = Shebang::read(text).map(|shebang| (shebang.interpreter, shebang.argument));
            assert_eq!(shebang, Some((interpreter, argument)), "{}", text.escape_ascii());
        }
        assert!(Shebang::read(b"#!\n/bin/sh").is_none());
    }

    #[test]
    fn scripts_hide_beside_their_folder() {
        assert_eq!(hidden(Path::new("usr/bin/foo")), Some(PathBuf::from("usr/.bin/foo")));
        assert!(hidden(Path::new("foo")).is_none());
    }
}
