//! Which defences a file was built with.

use super::Image;
use super::error::ReadError;
use super::source::{Source, place, table};
use crate::Bytes;
use crate::bytes::until_nul;

/// Defences that headers and the dynamic section tell of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hardening {
    /// Whether tables of the loader are made read-only.
    pub relro: Relro,
    /// Whether all symbols are bound before it runs.
    pub binds_now: bool,
    /// Whether it can lie anywhere in memory.
    pub is_position_independent: bool,
    /// Whether it is a program, not a library.
    pub is_program: bool,
    /// Whether its stack can be executed: it says so, or does not say anything.
    pub has_executable_stack: bool,
    /// Whether code is changed when it is loaded.
    pub relocates_text: bool,
}

/// Which tables of the loader are made read-only once they are filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relro {
    /// None.
    None,
    /// All but those of functions that are bound when first called.
    Partial,
    /// All.
    Full,
}

/// What the functions that a file takes from others tell of how it was compiled.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SymbolChecks {
    /// Whether functions find out that their frame was overwritten.
    pub has_stack_protector: bool,
    /// Functions that check the lengths of buffers, in place of those that do not.
    pub fortified: Vec<Vec<u8>>,
}

/// What of symbols and of their names is read at most. Names of the largest programs have a megabyte.
const MAX_TABLE_BYTES: u64 = 8 * 1024 * 1024;

const SYMBOLS: &str = "the table of symbols";
const NAMES: &str = "names of symbols";
const HASH: &str = "the hash table";

impl SymbolChecks {
    /// Looks through the symbols that a file takes from others. Nothing if their number cannot be told.
    ///
    /// # Errors
    /// The tables do not lie in the file, or are too large.
    pub fn read(image: &Image, bytes: &dyn Bytes) -> Result<Option<Self>, ReadError> {
        let Some(symbols) = image.dynamic.as_ref().map(|dynamic| dynamic.symbols) else { return Ok(None) };
        let (Some(address), Some(strings)) = (symbols.table, symbols.strings) else { return Ok(None) };
        let (source, layout) = (&Source::new(bytes), image.header.layout);
        let word = |address, index: u64| {
            let (offset, _) = place(&image.segments, HASH, address)?;
            let word = table(source, HASH, offset.saturating_add(index * 4), 4, 4)?;
            Ok(layout.order.number(&word))
        };
        let size = layout.format().symbol_bytes();
        let count = match (symbols.gnu_hash, symbols.hash) {
            // what others define stands before what is hashed
            (Some(hash), _) => match word(hash, 1)? {
                // nothing is hashed; then this is no number, but names follow the symbols
                0 | 1 => strings.saturating_sub(address) / size as u64,
                count => count,
            },
            // one link of a chain for each symbol
            (None, Some(hash)) => word(hash, 1)?,
            (None, None) => return Ok(None),
        };
        let (offset, _) = place(&image.segments, SYMBOLS, address)?;
        let entries = table(source, SYMBOLS, offset, count.saturating_mul(size as u64), MAX_TABLE_BYTES)?;
        let (offset, _) = place(&image.segments, NAMES, strings)?;
        let names = table(source, NAMES, offset, symbols.strings_bytes, MAX_TABLE_BYTES)?;
        let mut checks = Self::default();
        for entry in entries.chunks_exact(size) {
            let is_defined = layout.field(entry, (14, 2), (6, 2)) != 0;
            let at = layout.order.number(entry.get(..4).unwrap_or_default()) as usize;
            let name = until_nul(names.get(at..).unwrap_or_default());
            if is_defined {
                continue;
            }
            checks.has_stack_protector |= matches!(name, b"__stack_chk_fail" | b"__stack_chk_guard");
            if name.starts_with(b"__") && name.ends_with(b"_chk") {
                checks.fortified.push(name.to_vec());
            }
        }
        checks.fortified.sort();
        Ok(Some(checks))
    }
}
