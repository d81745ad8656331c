//! Editing ELF files: ours and patchelf on copies of the libraries of a folder. Then starts of programs ([`start`]).

use super::measure::{Row, run as measure};
use super::{Bench, start};
use crate::{files, setup};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where to look for libraries and programs, and the patchelf to compare with.
#[derive(Debug, clap::Args)]
pub(super) struct ElfOptions {
    /// Folder of libraries to edit copies of, and of programs to start copies of: hello, magick, emacs and ffmpeg, best
    /// from a Nix store or laid out like one.
    #[arg(long, value_name = "DIR", default_value = "/usr/lib")]
    elf_files: PathBuf,
    /// The patchelf to compare with. Default: the one in PATH, if there is one.
    #[arg(long, value_name = "FILE")]
    patchelf: Option<PathBuf>,
}

/// Most files that are edited in a round, and most bytes: every round copies them first.
const MOST_FILES: usize = 2000;
const MOST_BYTES: u64 = 1 << 30;

/// A run path that is longer than most, as that of a program of many packages.
const RUN_PATH: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-some-library-1.0/lib:\
                        /nix/store/1123456789abcdfghijklmnpqrsvwxyz-another-library-2.0/lib";

/// Measures edits of one file, the largest, and of all.
pub(super) fn run(bench: &Bench<'_>) -> Result<(), String> {
    let options = &bench.options.elf;
    let mut files = files::below(&options.elf_files, &|path, metadata| metadata.is_file() && is_library(path))?;
    let mut bytes = 0;
    files.retain(|(_, metadata)| {
        bytes += metadata.len();
        bytes <= MOST_BYTES
    });
    files.truncate(MOST_FILES);
    let Some((largest, _)) = files.iter().max_by_key(|(_, metadata)| metadata.len()).cloned() else {
        eprintln!("bench: no libraries in {}", options.elf_files.display());
        return Ok(());
    };
    let peer = options.patchelf.clone().or_else(|| setup::find("patchelf"));
    let all = files.into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    for (name, flags, files) in [
        ("print run path, largest", &["--print-rpath"][..], std::slice::from_ref(&largest)),
        ("set run path, largest", &["--set-rpath", RUN_PATH], std::slice::from_ref(&largest)),
        (&format!("set run path, {} files", all.len()), &["--set-rpath", RUN_PATH], &all),
    ] {
        let edit = |mut command: Command| {
            let copies = copy(&bench.folder.join("copies"), files)?;
            measure(command.args(flags).args(copies), None, &bench.folder)
        };
        let edit = &edit;
        let rounds = bench.options.rounds;
        let theirs = peer.as_ref().map(|peer| move |_| edit(Command::new(peer)));
        Row::measure(name, rounds..=rounds, |_| edit(bench.ours.command("patchelf")), theirs)?.print();
        bench.remove("copies")?;
    }
    note(bench, "note (goal: 1 KiB)", bench.ours.command("patchelf"), &all)?;
    if let Some(peer) = &peer {
        note(bench, "note of patchelf", Command::new(peer), &all)?;
    }
    start::run(bench, &options.elf_files)
}

/// How much larger files become by a note of where their libraries are, besides what is in it.
fn note(bench: &Bench<'_>, name: &str, mut command: Command, files: &[PathBuf]) -> Result<(), String> {
    let copies = copy(&bench.folder.join("copies"), files)?;
    let sizes =
        |copies: &[PathBuf]| copies.iter().map(|path| fs::metadata(path).map_or(0, |data| data.len())).collect();
    let before: Vec<u64> = sizes(&copies);
    measure(command.arg("--build-resolution-cache").args(&copies), None, &bench.folder)?;
    let after: Vec<u64> = sizes(&copies);
    let (mut noted, mut contents, mut grown) = (0, 0, 0);
    for (copy, (before, after)) in copies.iter().zip(before.iter().zip(&after)) {
        let bytes = fs::read(copy).map_err(|error| format!("cannot read {}: {error}", copy.display()))?;
        let Some(content) = contents_of_note(&bytes) else { continue };
        contents += content;
        // many fit into room that was there
        grown += after.saturating_sub(*before).saturating_sub(content);
        noted += 1;
    }
    bench.remove("copies")?;
    let each = |bytes: u64| bytes as f64 / 1024.0 / f64::from(noted.max(1));
    println!(
        "{:<28} {:.2} KiB each, besides {:.2} of contents, in {noted} of {} files",
        name,
        each(grown),
        each(contents),
        files.len()
    );
    Ok(())
}

/// The size of what a note holds, which has that name and kind.
fn contents_of_note(bytes: &[u8]) -> Option<u64> {
    const KIND_AND_NAME: &[u8] = b"\xb6\x6c\xa8\x63NixOS\0";
    let at = bytes.windows(KIND_AND_NAME.len()).rposition(|window| window == KIND_AND_NAME)?;
    let size = bytes.get(at.checked_sub(4)?..at)?;
    Some(u32::from_le_bytes(size.try_into().ok()?).into())
}

/// Whether a file is one of 64 bits, little-endian.
pub(super) fn is_elf(path: &Path) -> bool {
    let mut head = [0; 6];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *b"\x7fELF\x02\x01"
}

/// Whether this is a library: what is linked statically has nothing to edit.
fn is_library(path: &Path) -> bool {
    let mut head = [0; 18];
    let is_elf = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
        && head.starts_with(b"\x7fELF\x02\x01")
        && head[16] == 3;
    is_elf && path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so"))
}

/// Copies files to a folder. What is there is written over: where ext4 has no journal, it passes one by one over what was
/// removed in the last minutes when it makes a file, and that would be counted for who makes files.
fn copy(folder: &Path, files: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let copy_one = |(number, file): (usize, &PathBuf)| {
        let to = folder.join(number.to_string());
        let writable = fs::Permissions::from_mode(0o644);
        fs::copy(file, &to)
            .and_then(|_| fs::set_permissions(&to, writable))
            .map_err(|error| format!("cannot copy {}: {error}", file.display()))?;
        Ok(to)
    };
    files.iter().enumerate().map(copy_one).collect()
}
