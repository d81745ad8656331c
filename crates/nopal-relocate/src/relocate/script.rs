//! Scripts that find their interpreter from wherever they are.
//!
//! The kernel takes only absolute paths for interpreters. So a launcher takes the script's place; the script itself lies
//! in a hidden folder beside the one it was in, under its name. That is what it gets to see as `$0`: its name is right,
//! and so is what it finds by going up from there. Links to its neighbours lie beside it if it may look for some.

use super::{Kind, RelocateError, Verdict, Work};
use crate::paths;
use crate::wrap::{self, Architecture, Launch, Piece, Text};
use memchr::memmem;
use nopal_elf::Bytes as _;
use nopal_elf::resolve::Tree as _;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The kernel reads no more of a script.
const SHEBANG_BYTES: usize = 256;

/// Words of scripts that may look for files beside them.
const NEIGHBOURLY: [&[u8]; 8] =
    [b"$0", b"dirname", b"__file__", b"FindBin", b"BASH_SOURCE", b"__dir", b"PROGRAM_NAME", b"require"];

/// Names of scripts end so that are given to an interpreter, or read by other scripts.
const READ_BY_OTHERS: [&[u8]; 11] =
    [b".sh", b".bash", b".py", b".pl", b".pm", b".rb", b".js", b".mjs", b".cjs", b".tcl", b".lua"];

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
            match self.script(&below)? {
                Ok(None) => {}
                Ok(Some(hidden)) => {
                    self.members[index].below = hidden;
                    self.found(&below, Verdict::Script);
                }
                Err(reason) => self.found(&below, Verdict::Stays(reason)),
            }
        }
        Ok(())
    }

    /// Puts a launcher in the place of a script. Where the script is then, nothing if it needs none, or why that cannot be.
    fn script(&self, below: &Path) -> Result<Result<Option<PathBuf>, String>, RelocateError> {
        let path = self.root.join(below);
        let text = nopal_fs::read_file(&path)?;
        let Some(shebang) = Shebang::read(&text) else { return Ok(Ok(None)) };
        if !shebang.interpreter.starts_with(b"/") {
            return Ok(Err("its interpreter is looked for in the working directory".to_owned()));
        }
        let name = below.file_name().unwrap_or_default();
        if READ_BY_OTHERS.iter().any(|end| name.as_encoded_bytes().ends_with(end)) {
            return Ok(Err("by its name it is read by others, which could not read a launcher".to_owned()));
        }
        let Some((interpreter, architecture)) = self.interpreter(shebang.interpreter) else {
            let interpreter = shebang.interpreter.escape_ascii();
            return Ok(Err(format!("its interpreter {interpreter} is not among what is relocated")));
        };
        let Some((folder, hidden)) = hidden(below) else {
            return Ok(Err("it lies in the root".to_owned()));
        };
        let here = paths::logical(below.parent().unwrap_or(Path::new("")));
        let from_here = |path: &[u8]| Text::below_root([b"/", &paths::relative(&here, path)[..]].concat());
        let mut before = Vec::new();
        if let Some(argument) = shebang.argument {
            before.extend([Piece::Literal(argument.to_vec()), Piece::Break]);
        }
        before.extend(from_here(&paths::logical(&hidden)).0);
        let launch = Launch {
            target: from_here(&interpreter),
            name: Text(vec![Piece::Target]),
            before: Text(before),
            ..Launch::default()
        };
        nopal_fs::create_dir_all(&self.root.join(&folder))?;
        if NEIGHBOURLY.iter().any(|word| memmem::find(&text, word).is_some()) {
            self.link_neighbours(below, &folder)?;
        }
        let place = self.root.join(&hidden);
        // a link to it may be there, as a neighbour of others
        nopal_fs::remove_file_if_exists(&place)?;
        nopal_fs::rename(&path, &place)?;
        let layout =
            wrap::Layout { place: wrap::Place::Inside, architecture: Some(architecture), ..wrap::Layout::default() };
        wrap::make(&launch, &place, &path, &layout)?;
        Ok(Ok(Some(hidden)))
    }

    /// An interpreter, the name it goes by kept, and its processor.
    fn interpreter(&self, path: &[u8]) -> Option<(Vec<u8>, Architecture)> {
        let file = self.tree.open(path).ok()?.file;
        let mut head = [0; 20];
        file.read_at(0, &mut head).ok()?;
        let folder = self.tree.canonical(paths::folder(path))?;
        let name = &path[path.iter().rposition(|byte| *byte == b'/')?..];
        Some(([&folder, name].concat(), Architecture::of_file(&head)?))
    }

    /// Links to all that lies beside a script, in the folder where the script is going to lie.
    fn link_neighbours(&self, below: &Path, folder: &Path) -> Result<(), RelocateError> {
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

/// The hidden folder beside the one of a script, and the script in it.
fn hidden(below: &Path) -> Option<(PathBuf, PathBuf)> {
    let folder = below.parent()?;
    let mut name = OsString::from(".");
    name.push(folder.file_name()?);
    let folder = folder.with_file_name(name);
    let place = folder.join(below.file_name()?);
    Some((folder, place))
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
        let (folder, place) = hidden(Path::new("usr/bin/foo")).unwrap_or_default();
        assert_eq!((folder.as_path(), place.as_path()), (Path::new("usr/.bin"), Path::new("usr/.bin/foo")));
        assert!(hidden(Path::new("foo")).is_none());
    }
}
