//! Read-only handles on heap objects: strings, paths, lists, functions.
//!
//! A handle is a [`Value`] whose kind has been checked. Handles are `Copy`; what they lend lives as long as the
//! handle. Keep values that must outlive an evaluation in a local variable or a [`super::ValueVec`], not in a plain
//! `Vec`: the collector does not look there.

use std::sync::atomic::{AtomicU64, Ordering};

use nopal_syntax::Symbol;

use super::word::{END_FLAG, Kind, Slot, UNIQUE_FLAG, Value, header_address, header_len};
use crate::builtin::BuiltinDef;
use crate::code::ir::Lambda;
use crate::context::Context;

/// A string: bytes and a context.
#[derive(Clone, Copy)]
pub struct NixStr(pub(super) Value);

impl NixStr {
    /// The value this handle was made from.
    #[inline(always)]
    pub fn value(self) -> Value {
        self.0
    }

    #[inline(always)]
    fn has_context(self) -> bool {
        self.0.header() as u8 == Kind::StrCtx as u8
    }

    /// The bytes. Nix strings hold any byte but NUL and need not be UTF-8.
    #[inline(always)]
    pub fn as_bytes(&self) -> &[u8] {
        let len = header_len(self.0.header());
        let words = if self.has_context() { 2 } else { 1 };
        // SAFETY: a `Str` has `len` bytes after the header, a `StrCtx` has them after the context word.
        unsafe { std::slice::from_raw_parts(self.0.object().add(words) as *const u8, len) }
    }

    /// The words that the bytes take; what remains of the last one is zero.
    #[inline(always)]
    fn words(&self) -> &[u64] {
        let header = self.0.header();
        self.first_words(header, header_len(header).div_ceil(8))
    }

    /// The first `count` of these words of a string with this header.
    #[inline(always)]
    fn first_words(&self, header: u64, count: usize) -> &[u64] {
        debug_assert!(count <= header_len(header).div_ceil(8));
        let skipped = if header as u8 == Kind::StrCtx as u8 { 2 } else { 1 };
        // SAFETY: the bytes lie in whole words, which were zero before.
        unsafe { std::slice::from_raw_parts(self.0.object().add(skipped), count) }
    }

    /// Are the bytes the same? Most strings that are compared are short.
    #[inline(always)]
    pub(crate) fn has_bytes_of(self, other: NixStr) -> bool {
        let (header, others) = (self.0.header(), other.0.header());
        if header & others & UNIQUE_FLAG != 0 {
            return self.0 == other.0;
        }
        let len = header_len(header);
        if len != header_len(others) {
            return false;
        }
        let count = len.div_ceil(8);
        self.first_words(header, count).iter().zip(other.first_words(others, count)).all(|(a, b)| a == b)
    }

    /// The word of a unique string that is for its symbol.
    #[inline(always)]
    fn symbol_word(&self) -> Option<&AtomicU64> {
        let header = self.0.header();
        if header & UNIQUE_FLAG == 0 {
            return None;
        }
        // SAFETY: a word follows the bytes of a unique string, which is read and changed as here.
        Some(unsafe { AtomicU64::from_ptr(self.0.object().add(1 + header_len(header).div_ceil(8))) })
    }

    /// The symbol of this name, if that is known here.
    #[inline(always)]
    pub(crate) fn known_symbol(self) -> Option<Symbol> {
        let number = self.symbol_word()?.load(Ordering::Relaxed);
        number.checked_sub(1).map(|index| Symbol::from_index(index as usize))
    }

    /// Remembers the symbol of this name, if it is known to many.
    pub(crate) fn know_symbol(self, symbol: Symbol) {
        if let Some(word) = self.symbol_word() {
            word.store(symbol.index() as u64 + 1, Ordering::Relaxed);
        }
    }

    /// Does it come before the other in the order of bytes?
    #[inline]
    pub(crate) fn is_before(self, other: NixStr) -> bool {
        for (a, b) in self.words().iter().zip(other.words()) {
            if a != b {
                return u64::from_be(*a) < u64::from_be(*b);
            }
        }
        header_len(self.0.header()) < header_len(other.0.header())
    }

    /// A number that strings of the same bytes have, and others rarely, made of a few of the bytes.
    #[inline(always)]
    pub(crate) fn rough_hash(self) -> u64 {
        let words = self.words();
        let (first, last) = (words.first().copied().unwrap_or(0), words.last().copied().unwrap_or(0));
        let mixed = first ^ last.rotate_left(23) ^ (header_len(self.0.header()) as u64) << 56;
        let product = u128::from(mixed) * 0x9e37_79b9_7f4a_7c15;
        product as u64 ^ (product >> 64) as u64
    }

    /// The text, with invalid UTF-8 replaced.
    pub fn to_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }

    /// The context.
    #[inline(always)]
    pub fn context(self) -> Context {
        if self.has_context() {
            // SAFETY: a `StrCtx` has its context id in the second word.
            Context::from_raw(unsafe { *self.0.object().add(1) } as u32)
        } else {
            Context::EMPTY
        }
    }
}

/// The accessor a path is read through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct Root(pub u32);

impl Root {
    /// The file system of the host.
    pub const HOST: Root = Root(0);
    /// Files that come with the evaluator (`<nix/fetchurl.nix>`).
    pub const INTERNAL: Root = Root(1);
}

/// A path: a root and an absolute, canonical path below it.
#[derive(Clone, Copy)]
pub struct NixPath(pub(super) Value);

impl NixPath {
    /// The value this handle was made from.
    pub fn value(self) -> Value {
        self.0
    }

    /// The path: absolute, no `.`, `..` or empty components, no trailing slash except for `/` itself.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        let len = header_len(self.0.header());
        // SAFETY: a `Path` has a root word and then `len` bytes.
        unsafe { std::slice::from_raw_parts(self.0.object().add(2) as *const u8, len) }
    }

    /// The path as the standard library's type.
    pub fn as_path(&self) -> &std::path::Path {
        use std::os::unix::ffi::OsStrExt as _;
        std::path::Path::new(std::ffi::OsStr::from_bytes(self.as_bytes()))
    }

    /// Which tree it belongs to.
    pub fn root(self) -> Root {
        // SAFETY: a `Path` has its root in the second word.
        Root(unsafe { *self.0.object().add(1) } as u32)
    }
}

/// The values in some slots.
#[inline(always)]
fn values(slots: &[Slot]) -> impl DoubleEndedIterator<Item = Value> + ExactSizeIterator + Clone {
    slots.iter().map(|slot| slot.value())
}

/// A list.
#[derive(Clone, Copy)]
pub struct List(pub(super) Value);

impl List {
    /// The value this handle was made from.
    #[inline(always)]
    pub fn value(self) -> Value {
        self.0
    }

    /// How many elements.
    #[inline(always)]
    pub fn len(self) -> usize {
        header_len(self.0.header())
    }

    /// Has it no element?
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    fn slots(&self) -> &[Slot] {
        let (list, first) = self.origin();
        // SAFETY: a `List` has `len` slots after its header, or they are the last ones of a list that the collector keeps
        // for its sake.
        unsafe { std::slice::from_raw_parts(list.0.slots().add(first), self.len()) }
    }

    /// The list that has the elements, and which of them is the first.
    #[inline(always)]
    pub(super) fn origin(self) -> (List, usize) {
        if self.0.header() & END_FLAG == 0 {
            return (self, 0);
        }
        // SAFETY: these two slots follow such a header.
        let (list, left_out) = unsafe { (*self.0.slots(), *self.0.slots().add(1)) };
        (List(list.value()), left_out.bits() as usize)
    }

    /// The elements, evaluated or not.
    #[inline(always)]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Value> + ExactSizeIterator + Clone {
        values(self.slots())
    }

    /// The element at `index`.
    ///
    /// # Panics
    /// When there is none.
    #[inline(always)]
    pub fn at(self, index: usize) -> Value {
        self.slots()[index].value()
    }

    /// The element at `index`, if there is one.
    #[inline(always)]
    pub fn get(self, index: usize) -> Option<Value> {
        self.slots().get(index).map(|slot| slot.value())
    }
}

/// A function written in Nix, with the words it captured.
#[derive(Clone, Copy)]
pub struct Closure(pub(super) Value);

impl Closure {
    /// The value this handle was made from.
    pub fn value(self) -> Value {
        self.0
    }

    /// Its code.
    #[inline(always)]
    pub(crate) fn lambda(self) -> &'static Lambda {
        // SAFETY: the header of a `Closure` holds the address of a `&'static Lambda`.
        unsafe { &*header_address(self.0.header()) }
    }
}

/// A builtin with some of its arguments.
#[derive(Clone, Copy)]
pub struct PartialApp(pub(super) Value);

impl PartialApp {
    /// The value this handle was made from.
    pub fn value(self) -> Value {
        self.0
    }

    /// The builtin.
    #[inline(always)]
    pub fn builtin(self) -> &'static BuiltinDef {
        // SAFETY: the second word of a `PartialApp` is a `&'static BuiltinDef`.
        unsafe { &*(*self.0.object().add(1) as *const BuiltinDef) }
    }

    /// The arguments given so far.
    #[inline(always)]
    pub fn args(&self) -> impl ExactSizeIterator<Item = Value> {
        // SAFETY: a `PartialApp` has `len` arguments after the builtin, which takes as much as two slots.
        values(unsafe { self.0.slots_from(2, header_len(self.0.header())) })
    }
}

/// A suspended application.
#[derive(Clone, Copy)]
pub(crate) struct App(pub(super) Value);

impl App {
    /// The function.
    #[inline(always)]
    pub(crate) fn function(self) -> Value {
        // If another thread just gave it its value, that is found here.
        self.0.first_slot()
    }

    /// The arguments.
    #[inline(always)]
    pub(crate) fn args(&self) -> impl ExactSizeIterator<Item = Value> {
        // SAFETY: an `App` has `len` arguments after the function.
        values(unsafe { self.0.slots_from(1, header_len(self.0.header())) })
    }

    /// The argument, if there is one only.
    #[inline(always)]
    pub(crate) fn only_arg(self) -> Option<Value> {
        let mut args = self.args();
        if args.len() == 1 { args.next() } else { None }
    }
}
