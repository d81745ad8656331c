//! Names as numbers: one table for all files of an evaluation, supplied by the caller.

use std::fmt;
use std::hash::Hasher as _;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use rustc_hash::FxHasher;

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

/// The table of names.
///
/// A clone is another handle on the same names, for another thread: both may make new ones at the same time. Each handle
/// remembers the names it has met, so that only new ones cost more than one hash and usually one comparison.
#[derive(Clone)]
pub struct Interner {
    names: Arc<Names>,
    /// Open addressing, a power of two in size: numbers of symbols that this handle met, with their hashes.
    met: Vec<Slot>,
    met_count: usize,
    is_ahead: bool,
}

#[derive(Clone, Copy)]
struct Slot {
    id: u32,
    hash: u32,
}

const EMPTY: Slot = Slot { id: u32::MAX, hash: 0 };

/// What all handles share.
struct Names {
    /// By number, each with whether it was made ahead.
    names: boxcar::Vec<(Box<[u8]>, bool)>,
    /// No name with a smaller number was made ahead.
    first_ahead: AtomicU32,
    /// The numbers by name; whoever adds one holds it.
    numbers: Mutex<Numbers>,
}

#[derive(Default)]
struct Numbers {
    /// Number and hash of every name.
    table: HashTable<(u32, u32)>,
    bytes: usize,
}

impl Names {
    fn get(&self, id: u32) -> &[u8] {
        self.names.get(id as usize).map_or(&[], |(name, _)| name)
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        // Nothing is left half done if a thread panics there: a name is complete before its number is known.
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interner {
    /// A table with only the names in [`sym`].
    pub fn new() -> Self {
        let names = Names {
            names: boxcar::Vec::with_capacity(1024),
            first_ahead: AtomicU32::new(u32::MAX),
            numbers: Mutex::default(),
        };
        let mut interner = Self { names: Arc::new(names), met: vec![EMPTY; 1024], met_count: 0, is_ahead: false };
        for name in WELL_KNOWN {
            interner.intern(name.as_bytes());
        }
        interner
    }

    /// The symbol of `name`, made if it is new.
    ///
    /// # Panics
    /// When there are more than 4 G names; sources are below that ([`MAX_SOURCE_BYTES`](crate::ast::MAX_SOURCE_BYTES))
    /// and a name is interned once.
    #[inline]
    pub fn intern(&mut self, name: &[u8]) -> Symbol {
        let hash = hash(name);
        match self.find(name, hash) {
            Ok(symbol) => symbol,
            Err(slot) => self.meet(name, hash, slot),
        }
    }

    /// Whether names that this handle makes are made ahead of the one that decides on the order of names. The handle's
    /// clones are asked for themselves.
    pub fn set_ahead(&mut self, is_ahead: bool) {
        self.is_ahead = is_ahead;
    }

    /// Was this name made ahead? Else all that have smaller numbers are before it in any case.
    pub fn is_made_ahead(&self, symbol: Symbol) -> bool {
        symbol.0 >= self.names.first_ahead.load(Relaxed)
            && self.names.names.get(symbol.index()).is_some_and(|(_, is_ahead)| *is_ahead)
    }

    /// The symbol of `name` if it has one.
    pub fn lookup(&self, name: &[u8]) -> Option<Symbol> {
        let hash = hash(name);
        if let Ok(symbol) = self.find(name, hash) {
            return Some(symbol);
        }
        let numbers = self.names.numbers();
        let known = numbers.table.find(spread(hash), |(id, _)| self.names.get(*id) == name);
        known.map(|(id, _)| Symbol(*id))
    }

    /// The symbol of a name that this handle met; else the place for it.
    #[inline]
    fn find(&self, name: &[u8], hash: u32) -> Result<Symbol, usize> {
        let mask = self.met.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let Slot { id, hash: known } = self.met[slot];
            if id == EMPTY.id {
                return Err(slot);
            }
            if known == hash && self.names.get(id) == name {
                return Ok(Symbol(id));
            }
            slot = (slot + 1) & mask;
        }
    }

    /// As [`Interner::intern`], for a name that is new to this handle.
    #[cold]
    fn meet(&mut self, name: &[u8], hash: u32, slot: usize) -> Symbol {
        let id = self.number(name, hash);
        self.met[slot] = Slot { id, hash };
        self.met_count += 1;
        if self.met_count * 2 > self.met.len() {
            self.grow();
        }
        Symbol(id)
    }

    fn number(&self, name: &[u8], hash: u32) -> u32 {
        let mut numbers = self.names.numbers();
        let Numbers { table, bytes } = &mut *numbers;
        if let Some((id, _)) = table.find(spread(hash), |(id, _)| self.names.get(*id) == name) {
            return *id;
        }
        let id = u32::try_from(self.names.names.push((name.into(), self.is_ahead))).unwrap_or(EMPTY.id);
        assert!(id < EMPTY.id, "symbol table is full");
        if self.is_ahead {
            self.names.first_ahead.fetch_min(id, Relaxed);
        }
        *bytes += name.len();
        table.insert_unique(spread(hash), (id, hash), |(_, hash)| spread(*hash));
        id
    }

    /// The bytes of a symbol.
    #[inline]
    pub fn get(&self, symbol: Symbol) -> &[u8] {
        self.names.get(symbol.0)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.names.count()
    }

    /// The length of all names together, in bytes.
    pub fn bytes(&self) -> usize {
        self.names.numbers().bytes
    }

    /// Never true: a table has at least the names in [`sym`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn grow(&mut self) {
        let size = self.met.len() * 4;
        let mask = size - 1;
        let mut met = vec![EMPTY; size];
        for known in self.met.iter().filter(|slot| slot.id != EMPTY.id) {
            let mut slot = known.hash as usize & mask;
            while met[slot].id != EMPTY.id {
                slot = (slot + 1) & mask;
            }
            met[slot] = *known;
        }
        self.met = met;
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

/// What a table that looks at the highest bits, too, wants of a hash.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Names are not hostile enough to pay for a hash that cannot be foreseen.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are those to be used")]
fn hash(bytes: &[u8]) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish() as u32
}
