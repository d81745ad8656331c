//! Looking for symbols as glibc's loader does (`elf/dl-lookup.c`).

use super::linked::{Kind, Linked, Relocation, Symbol, VERSION_IS_HIDDEN, VERSION_NUMBER};
use std::collections::HashMap;

/// Where something is: at an address of an object, or, for none, at that address of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) object: Option<usize>,
    pub(super) value: u64,
}

/// The symbols of a program and its libraries, in the order in which they are looked for.
pub(super) struct Scope<'a> {
    pub(super) objects: &'a [&'a Linked],
    /// Definitions that others can find, by name: of the first object first.
    definitions: HashMap<&'a [u8], Vec<(usize, Symbol)>>,
}

/// What came of looking for a symbol.
enum Found {
    At(usize, Symbol),
    Nothing,
    /// The loader has to tell.
    Unsure,
}

const STB_LOCAL: u8 = 0;
const STB_GLOBAL: u8 = 1;
const STB_WEAK: u8 = 2;
const STT_NOTYPE: u8 = 0;
const STT_OBJECT: u8 = 1;
const STT_FUNC: u8 = 2;
const STT_SECTION: u8 = 3;
const STT_COMMON: u8 = 5;
const STT_TLS: u8 = 6;
const STT_GNU_IFUNC: u8 = 10;
const SHN_UNDEF: u16 = 0;
const SHN_ABS: u16 = 0xfff1;

impl Symbol {
    fn binding(&self) -> u8 {
        self.info >> 4
    }

    fn kind(&self) -> u8 {
        self.info & 0xf
    }

    fn visibility(&self) -> u8 {
        self.other & 3
    }

    /// Whether no other file sees it: internal or hidden.
    fn is_hidden(&self) -> bool {
        matches!(self.visibility(), 1 | 2)
    }

    fn is_protected(&self) -> bool {
        self.visibility() == 3
    }

    fn is_weak(&self) -> bool {
        self.binding() == STB_WEAK
    }

    /// Whether it may be what another file looks for.
    fn is_definition(&self) -> bool {
        let has_value = self.value != 0 || self.section == SHN_ABS || self.kind() == STT_TLS;
        let is_kind = matches!(self.kind(), STT_NOTYPE | STT_OBJECT | STT_FUNC | STT_COMMON | STT_TLS | STT_GNU_IFUNC);
        self.is_listed && has_value && is_kind && self.binding() != STB_LOCAL && !self.is_hidden()
    }

    /// Whether its address is its value and nothing else, and nobody keeps account of it.
    fn is_plain(&self) -> bool {
        matches!(self.kind(), STT_NOTYPE | STT_OBJECT | STT_FUNC | STT_SECTION | STT_COMMON)
            && self.section != SHN_ABS
            && matches!(self.binding(), STB_LOCAL | STB_GLOBAL | STB_WEAK)
    }
}

impl<'a> Scope<'a> {
    pub(super) fn new(objects: &'a [&'a Linked]) -> Self {
        let mut definitions: HashMap<_, Vec<_>> = HashMap::new();
        for (number, object) in objects.iter().enumerate() {
            for symbol in object.symbols.iter().filter(|symbol| symbol.is_definition()) {
                definitions.entry(object.name(symbol)).or_default().push((number, *symbol));
            }
        }
        Self { objects, definitions }
    }

    /// What a relocation of an object writes; nothing if only the loader can tell.
    pub(super) fn target(&self, object: usize, relocation: &Relocation) -> Option<Target> {
        let linked = self.objects[object];
        let wanted = linked.symbols.get(relocation.symbol as usize).filter(|_| relocation.symbol != 0)?;
        let is_own = wanted.binding() == STB_LOCAL || wanted.is_hidden();
        let found = match wanted.section {
            SHN_UNDEF if is_own => Found::Unsure,
            _ if is_own => Found::At(object, *wanted),
            _ if wanted.is_protected() => Found::Unsure,
            _ => self.look_up(object, wanted, relocation.kind == Kind::Call),
        };
        let addend = match relocation.kind {
            Kind::Address => relocation.addend.wrapping_add(relocation.content),
            Kind::Call if relocation.addend == 0 => 0,
            _ => return None,
        };
        let (object, value) = match found {
            Found::At(object, symbol) if symbol.is_plain() => (Some(object), symbol.value),
            Found::Nothing if wanted.is_weak() => (None, 0),
            _ => return None,
        };
        let value = value.wrapping_add(addend);
        Some(Target { object, value: if linked.format.is_64 { value } else { value & u64::from(u32::MAX) } })
    }

    /// Looks for a symbol in one object after the other; for what binds to itself, there first.
    fn look_up(&self, object: usize, wanted: &Symbol, is_call: bool) -> Found {
        let linked = self.objects[object];
        let Some(candidates) = self.definitions.get(linked.name(wanted)) else { return Found::Nothing };
        let groups = || candidates.chunk_by(|(one, _), (next, _)| one == next);
        let own = groups().filter(|group| linked.is_symbolic && group[0].0 == object);
        for group in own.chain(groups()) {
            let number = group[0].0;
            let fitting = |fit| {
                let symbols = group.iter().map(|(_, symbol)| symbol);
                // a program that has the address of a function stands for it, but cannot be called for it
                let symbols = symbols.filter(|symbol| !(is_call && symbol.section == SHN_UNDEF));
                symbols
                    .filter(|symbol| fit == self.fit(linked, wanted, self.objects[number], symbol))
                    .collect::<Vec<_>>()
            };
            match (&fitting(Fit::Exact)[..], &fitting(Fit::Only)[..]) {
                ([symbol], _) | ([], [symbol]) => return Found::At(number, **symbol),
                ([], _) => {}
                // the order of the chain decides
                _ => return Found::Unsure,
            }
        }
        Found::Nothing
    }

    /// Whether a definition is of the version that is wanted.
    fn fit(&self, asking: &Linked, wanted: &Symbol, having: &Linked, symbol: &Symbol) -> Fit {
        let is_hidden = symbol.version & VERSION_IS_HIDDEN != 0;
        match asking.version(wanted) {
            _ if !having.is_versioned => Fit::Exact,
            Some(wanted) => {
                let has = having.version(symbol);
                let is_same = has.is_some_and(|has| has.name == wanted.name);
                if is_same || !(wanted.is_hidden || has.is_some() || is_hidden) { Fit::Exact } else { Fit::No }
            }
            // the first version of all is the one that is meant by no version
            None if symbol.version & VERSION_NUMBER < 3 => Fit::Exact,
            None if !is_hidden => Fit::Only,
            None => Fit::No,
        }
    }
}

/// Whether a definition will do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// It is the one.
    Exact,
    /// It is if the object has no other.
    Only,
    No,
}
