//! `nix nar`: archives that lie in files.

use crate::error::CliError;
use crate::nix::cli::{Arg, Command, Complete, Flag, JSON, Line};
use crate::output;
use nopal_format::json::Json;
use nopal_format::listing::{Listing, ListingBuilder};
use nopal_format::nar::{NarError, NarEvent, decode};
use std::fmt::Write as _;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// `nix nar`.
pub(super) const COMMAND: Command = Command::group(
    "nar",
    "make archives and look into them",
    &[
        Command::new("cat", "print a file of an archive", &[], IN_ARCHIVE, cat),
        Command::new("dump-path", "another name of `nix nar pack`", &[], TREE, dump_path),
        Command::new("ls", "list a folder of an archive", &[LS, JSON], IN_ARCHIVE, list),
        Command::new("pack", "print the archive of a file or folder", &[], TREE, pack),
    ],
);

const IN_ARCHIVE: &[Arg] = &[Arg::one("nar", Complete::Path), Arg::one("path", Complete::Nothing)];
const TREE: &[Arg] = &[Arg::one("path", Complete::Path)];

/// Flags of listings.
pub(super) const LS: &[Flag] = &[
    Flag::new("directory", "Show the folder itself").short('d'),
    Flag::new("long", "Show types and sizes").short('l'),
    Flag::new("recursive", "Show all that is below").short('R'),
];

fn pack(line: Line) -> Result<ExitCode, CliError> {
    let mut stdout = io::stdout().lock();
    nopal_store::dump_tree(Path::new(line.arg(0).unwrap_or_default()), &mut stdout)?;
    stdout.flush().map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

fn dump_path(line: Line) -> Result<ExitCode, CliError> {
    line.engine()?.config().reporter.warn("'nix nar dump-path' is a deprecated alias for 'nix nar pack'");
    pack(line)
}

/// The error of an archive.
fn bad(error: NarError) -> CliError {
    CliError::Found(error.to_string())
}

/// The names of a path within an archive.
fn names(path: &str) -> Vec<&[u8]> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").map(str::as_bytes).collect()
}

fn cat(line: Line) -> Result<ExitCode, CliError> {
    let file = nopal_fs::open_read(Path::new(line.arg(0).unwrap_or_default()))?;
    let path = line.arg(1).unwrap_or_default();
    let wanted = names(path);
    let mut here: Vec<Vec<u8>> = Vec::new();
    let mut found = false;
    let mut stdout = io::stdout().lock();
    let mut written = Ok(());
    decode(&mut BufReader::new(file), &mut |event| -> Result<(), NarError> {
        match event {
            NarEvent::EnterDirectory { name } => here.extend(name.map(<[u8]>::to_vec)),
            NarEvent::LeaveDirectory => drop(here.pop()),
            NarEvent::Symlink { .. } => {}
            NarEvent::File { name, mut contents, .. } => {
                let at: Vec<&[u8]> = here.iter().map(Vec::as_slice).chain(name).collect();
                if at == wanted {
                    found = true;
                    let mut bytes = Vec::new();
                    // the archive's own errors come from the decoder
                    let _ = contents.read_to_end(&mut bytes);
                    written = stdout.write_all(&bytes);
                }
            }
        }
        Ok(())
    })
    .map_err(bad)?;
    written.and_then(|()| stdout.flush()).map_err(CliError::Output)?;
    if found {
        return Ok(ExitCode::SUCCESS);
    }
    Err(CliError::Found(format!("NAR does not contain regular file '{path}'")))
}

fn list(line: Line) -> Result<ExitCode, CliError> {
    let file = nopal_fs::open_read(Path::new(line.arg(0).unwrap_or_default()))?;
    let path = line.arg(1).unwrap_or_default();
    let mut builder = ListingBuilder::new();
    decode(&mut BufReader::new(file), &mut |event| -> Result<(), NarError> {
        builder.event(&event);
        Ok(())
    })
    .map_err(bad)?;
    let missing = || CliError::Found(format!("path '{path}' does not exist"));
    let whole = builder.finish().ok_or_else(missing)?;
    let inner = names(path).join(&b"/"[..]);
    let found = whole.lookup(&inner).ok_or_else(missing)?;
    print_listing(&line, found, path.rsplit('/').next().unwrap_or_default())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a listing, as text or JSON.
pub(super) fn print_listing(line: &Line, listing: &Listing, name: &str) -> Result<(), CliError> {
    if line.has("json") {
        if line.has("directory") {
            return Err(CliError::usage("'--directory' is useless with '--json'"));
        }
        if let (Listing::Directory(entries), false) = (listing, line.has("recursive")) {
            let names = entries.keys().map(|name| (name.to_string(), Json::Object(Default::default())));
            let fields = [("entries", Json::object(names)), ("type", Json::from("directory"))];
            return output::line(&Json::object(fields).to_compact());
        }
        let json = listing.to_json().map_err(|error| CliError::Found(error.to_string()))?;
        // without what a listing that lies beside an archive has around it
        return output::line(&json.get("root").unwrap_or(&json).to_compact());
    }
    let mut text = String::new();
    let how = How { long: line.has("long"), recursive: line.has("recursive") };
    match listing {
        Listing::Directory(entries) if !line.has("directory") => {
            for (name, entry) in entries {
                how.show(entry, &format!("./{name}"), &mut text);
            }
        }
        Listing::Directory(_) => how.show(listing, ".", &mut text),
        Listing::File { .. } | Listing::Symlink { .. } => how.show(listing, name, &mut text),
    }
    output::data(text.as_bytes())
}

#[derive(Clone, Copy, Debug)]
struct How {
    long: bool,
    recursive: bool,
}

impl How {
    fn show(self, entry: &Listing, path: &str, text: &mut String) {
        if self.long {
            let (kind, size) = match entry {
                Listing::File { executable: true, size, .. } => ("-r-xr-xr-x", *size),
                Listing::File { size, .. } => ("-r--r--r--", *size),
                Listing::Symlink { .. } => ("lrwxrwxrwx", 0),
                Listing::Directory(_) => ("dr-xr-xr-x", 0),
            };
            let _ = write!(text, "{kind} {size:>20} {path}");
            if let Listing::Symlink { target } = entry {
                let _ = write!(text, " -> {target}");
            }
            text.push('\n');
        } else {
            let _ = writeln!(text, "{path}");
        }
        if let (true, Listing::Directory(entries)) = (self.recursive, entry) {
            for (name, entry) in entries {
                self.show(entry, &format!("{path}/{name}"), text);
            }
        }
    }
}
