//! Paths with their metadata in one stream, as `nix-store --export` writes them and `nix-store --import` reads them.
//!
//! Each path is the number 1, its archive, a magic number, the path, its references, its deriver, and 0 where an old
//! signature may stand; a 0 ends the stream. Numbers are 64 bits, little endian; strings have their length before them
//! and are padded to 8 bytes.

use std::io::{BufReader, Read, Write};

use nopal_format::references::Candidates;
use nopal_format::{PathInfo, StorePath};

use crate::closure::Direction;
use crate::error::StoreError;
use crate::install::{Staged, TempTree};
use crate::spool::Spool;
use crate::store::Store;
use crate::tree::{HashingReader, TreeError, read_next_archive};

/// Stands between an archive and its metadata.
const MAGIC: u64 = 0x4558_494e;

/// Longest string that is read: paths are shorter by far.
const MAX_STRING_BYTES: u64 = 1024 * 1024;

impl Store {
    /// Writes valid paths, those that others refer to first. Paths that were not asked for are left out.
    pub fn export(&self, paths: &[StorePath], output: &mut dyn Write) -> Result<(), StoreError> {
        let order = self.closure(paths, Direction::References)?;
        for path in order.iter().filter(|path| paths.contains(path)) {
            self.export_one(&self.path_info(path)?, output)?;
        }
        write_number(output, 0)
    }

    fn export_one(&self, info: &PathInfo, output: &mut dyn Write) -> Result<(), StoreError> {
        write_number(output, 1)?;
        let found = self.dump(&info.path, output)?;
        if found.nar_hash != info.nar_hash {
            let reason = format!(
                "hash of path '{}' has changed from 'sha256:{}' to 'sha256:{}'!",
                self.print(&info.path),
                info.nar_hash.nix32(),
                found.nar_hash.nix32()
            );
            return Err(StoreError::BadExport { reason });
        }
        write_number(output, MAGIC)?;
        write_string(output, &self.print(&info.path))?;
        write_number(output, info.references.len() as u64)?;
        for reference in &info.references {
            write_string(output, &self.print(reference))?;
        }
        write_string(output, &info.deriver.as_ref().map(|path| self.print(path)).unwrap_or_default())?;
        write_number(output, 0)
    }

    /// Reads paths that [`Store::export`] wrote and makes them valid. Returns them in the order of the stream.
    pub fn import(&self, input: &mut dyn Read) -> Result<Vec<StorePath>, StoreError> {
        let mut input = BufReader::new(input);
        let mut imported = Vec::new();
        loop {
            match read_number(&mut input)? {
                0 => return Ok(imported),
                1 => imported.push(self.import_one(&mut input)?),
                _ => {
                    let reason = "input doesn't look like something created by 'nix-store --export'".to_owned();
                    return Err(StoreError::BadExport { reason });
                }
            }
        }
    }

    fn import_one(&self, input: &mut BufReader<&mut dyn Read>) -> Result<StorePath, StoreError> {
        let temp_roots = self.writable("import paths")?;
        let tree = TempTree::new(temp_roots.temp_path()?);
        let mut spool = Spool::new(tree.path().to_owned());
        let mut reader = HashingReader::new(input, &Candidates::from_iter([]), u64::MAX);
        let read = read_next_archive(&mut reader, &mut spool);
        let (nar_hash, nar_size, _) = reader.finish();
        let entries = read?;
        if read_number(input)? != MAGIC {
            return Err(StoreError::BadExport { reason: "Nix archive cannot be imported; wrong format".to_owned() });
        }
        let path = self.store_dir().parse(&read_string(input)?)?;
        let mut info = PathInfo::new(path.clone(), nar_hash, nar_size);
        for _ in 0..read_number(input)? {
            info.references.insert(self.store_dir().parse(&read_string(input)?)?);
        }
        let deriver = read_string(input)?;
        if !deriver.is_empty() {
            info.deriver = Some(self.store_dir().parse(&deriver)?);
        }
        if read_number(input)? == 1 {
            // a signature of a form that nobody checks any more
            read_string(input)?;
        }
        self.add_temp_root(&path)?;
        if !self.is_valid(&path)? {
            spool.spill()?;
            drop(spool);
            self.install(vec![Staged::tree(info, tree, entries)])?;
        }
        Ok(path)
    }
}

fn write_number(output: &mut dyn Write, number: u64) -> Result<(), StoreError> {
    output.write_all(&number.to_le_bytes()).map_err(|error| TreeError::Stream(error).into())
}

fn write_string(output: &mut dyn Write, text: &str) -> Result<(), StoreError> {
    write_number(output, text.len() as u64)?;
    let padding = &[0; 8][..text.len().wrapping_neg() % 8];
    let written = output.write_all(text.as_bytes()).and_then(|()| output.write_all(padding));
    written.map_err(|error| TreeError::Stream(error).into())
}

fn read_number(input: &mut dyn Read) -> Result<u64, StoreError> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes).map_err(TreeError::Stream)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_string(input: &mut dyn Read) -> Result<String, StoreError> {
    let length = read_number(input)?;
    let bad = |reason: &str| StoreError::BadExport { reason: reason.to_owned() };
    if length > MAX_STRING_BYTES {
        return Err(bad("a string of the export is longer than any path"));
    }
    let mut bytes = vec![0; length.next_multiple_of(8) as usize];
    input.read_exact(&mut bytes).map_err(TreeError::Stream)?;
    bytes.truncate(length as usize);
    String::from_utf8(bytes).map_err(|_| bad("a string of the export is not UTF-8"))
}
