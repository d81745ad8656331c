//! Names as numbers: one table for all files of an evaluation, supplied by the caller.

use std::fmt;

/// An interned name. Symbols of one [`Interner`] are equal exactly when their bytes are; their order is the order of
/// creation, which is also the order in which Nix visits attributes while it resolves variables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Symbol(u32);

impl Symbol {
    /// The number behind the symbol: dense, from 0.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The symbol with this number; it must have come from [`Symbol::index`] of the same interner.
    #[expect(clippy::cast_possible_truncation, reason = "indices come from u32 symbols")]
    pub const fn from_index(index: usize) -> Self {
        Self(index as u32)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbol({})", self.0)
    }
}

macro_rules! well_known {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// Names that every [`Interner`] knows from the start, as constants.
        pub mod sym {
            use super::Symbol;
            well_known!(@consts 0; $($name = $text,)*);
        }
        const WELL_KNOWN: &[&str] = &[$($text),*];
    };
    (@consts $n:expr; $name:ident = $text:literal, $($rest:tt)*) => {
        #[doc = concat!("The name `", $text, "`.")]
        pub const $name: Symbol = Symbol($n);
        well_known!(@consts $n + 1; $($rest)*);
    };
    (@consts $n:expr;) => {};
}

// The names that Nix creates before it reads any file come first here, too: the order of symbols decides which of two
// undefined variables is reported.
well_known! {
    WITH = "<with>",
    OUTPATH = "outPath",
    DRV_PATH = "drvPath",
    TYPE = "type",
    META = "meta",
    NAME = "name",
    VALUE = "value",
    SYSTEM = "system",
    OVERRIDES = "__overrides",
    OUTPUTS = "outputs",
    OUTPUT_NAME = "outputName",
    IGNORE_NULLS = "__ignoreNulls",
    FILE = "file",
    LINE = "line",
    COLUMN = "column",
    FUNCTOR = "__functor",
    TO_STRING = "__toString",
    RIGHT = "right",
    WRONG = "wrong",
    STRUCTURED_ATTRS = "__structuredAttrs",
    JSON = "__json",
    ALLOWED_REFERENCES = "allowedReferences",
    ALLOWED_REQUISITES = "allowedRequisites",
    DISALLOWED_REFERENCES = "disallowedReferences",
    DISALLOWED_REQUISITES = "disallowedRequisites",
    MAX_SIZE = "maxSize",
    MAX_CLOSURE_SIZE = "maxClosureSize",
    BUILDER = "builder",
    ARGS = "args",
    CONTENT_ADDRESSED = "__contentAddressed",
    IMPURE = "__impure",
    OUTPUT_HASH = "outputHash",
    OUTPUT_HASH_ALGO = "outputHashAlgo",
    OUTPUT_HASH_MODE = "outputHashMode",
    RECURSE_FOR_DERIVATIONS = "recurseForDerivations",
    DESCRIPTION = "description",
    SELF = "self",
    EPSILON = "",
    START_SET = "startSet",
    OPERATOR = "operator",
    KEY = "key",
    PATH = "path",
    PREFIX = "prefix",
    OUTPUT_SPECIFIED = "outputSpecified",
    SUB = "__sub",
    LESS_THAN = "__lessThan",
    MUL = "__mul",
    DIV = "__div",
    OR = "or",
    FIND_FILE = "__findFile",
    NIX_PATH = "__nixPath",
    BODY = "body",
}

/// The table of names. Bytes are kept once, in one pool; a lookup is one hash and usually one comparison.
#[derive(Clone)]
pub struct Interner {
    pool: Vec<u8>,
    /// Where the name with this number ends in `pool`; it begins where the previous one ends.
    ends: Vec<u32>,
    hashes: Vec<u32>,
    /// Open addressing, a power of two in size; `EMPTY` or the number of a symbol.
    table: Vec<u32>,
}

const EMPTY: u32 = u32::MAX;

impl Interner {
    /// A table with only the names in [`sym`].
    pub fn new() -> Self {
        let mut interner = Self { pool: Vec::new(), ends: Vec::new(), hashes: Vec::new(), table: vec![EMPTY; 1024] };
        for name in WELL_KNOWN {
            interner.intern(name.as_bytes());
        }
        interner
    }

    /// The symbol of `name`, made if it is new.
    ///
    /// # Panics
    /// When all names together exceed 4 GiB; sources are below that ([`MAX_SOURCE_BYTES`](crate::ast::MAX_SOURCE_BYTES))
    /// and a name is interned once.
    pub fn intern(&mut self, name: &[u8]) -> Symbol {
        let hash = hash(name);
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let id = self.table[slot];
            if id == EMPTY {
                break;
            }
            if self.hashes[id as usize] == hash && self.get(Symbol(id)) == name {
                return Symbol(id);
            }
            slot = (slot + 1) & mask;
        }
        let symbol = Symbol(u32::try_from(self.ends.len()).unwrap_or(EMPTY));
        assert!(symbol.0 < EMPTY && self.pool.len() + name.len() <= u32::MAX as usize, "symbol table is full");
        self.pool.extend_from_slice(name);
        #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
        self.ends.push(self.pool.len() as u32);
        self.hashes.push(hash);
        self.table[slot] = symbol.0;
        if self.ends.len() * 2 > self.table.len() {
            self.grow();
        }
        symbol
    }

    /// The symbol of `name` if it has one.
    pub fn lookup(&self, name: &[u8]) -> Option<Symbol> {
        let hash = hash(name);
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let id = self.table[slot];
            if id == EMPTY {
                return None;
            }
            if self.hashes[id as usize] == hash && self.get(Symbol(id)) == name {
                return Some(Symbol(id));
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The bytes of a symbol.
    pub fn get(&self, symbol: Symbol) -> &[u8] {
        let index = symbol.index();
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.pool[start..self.ends[index] as usize]
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The length of all names together, in bytes.
    pub fn bytes(&self) -> usize {
        self.pool.len()
    }

    /// Never true: a table has at least the names in [`sym`].
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn grow(&mut self) {
        let size = self.table.len() * 4;
        let mask = size - 1;
        let mut table = vec![EMPTY; size];
        for (id, hash) in self.hashes.iter().enumerate() {
            let mut slot = *hash as usize & mask;
            while table[slot] != EMPTY {
                slot = (slot + 1) & mask;
            }
            #[expect(clippy::cast_possible_truncation, reason = "there are fewer than u32::MAX symbols")]
            {
                table[slot] = id as u32;
            }
        }
        self.table = table;
    }
}

impl Default for Interner {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Interner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interner({} names)", self.len())
    }
}

/// Eight bytes at a time, multiply and fold; names are short and not hostile enough to pay for more.
fn hash(bytes: &[u8]) -> u32 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut h = bytes.len() as u64 ^ K;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        h = (h ^ u64::from_le_bytes(word)).wrapping_mul(K);
        h ^= h >> 32;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        h = (h ^ u64::from_le_bytes(word)).wrapping_mul(K);
        h ^= h >> 32;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the fold above mixed the high half in")]
    {
        (h ^ (h >> 29)) as u32
    }
}
