//! The value word: an immediate or the address of a heap object, in 34 bits of which the lowest two are zero.
//!
//! | low bits | meaning |
//! |---|---|
//! | `000` | address of a heap object (never null) |
//! | `0100` | integer of 30 bits, shifted left by four |
//! | `1100` | null, false, true |
//!
//! Objects lie below 16 GiB ([`super::chunk`]), so that what the heap and the value stack hold is a [`Slot`] of four bytes:
//! the word without its lowest bits. To read one is a shift. Half the memory is half of what is fetched, marked and kept.
//!
//! A heap object starts with one header word: kind (8 bits), flags (8), and 48 bits that are a length or, where the
//! length follows from it, the address of code or of a shape. Objects are never moved, so a `Value` may be copied freely.
//! Memory is reused only for objects that the collector cannot reach, so a `Value` never dangles. It is bound to its
//! thread, because the collector looks for values only in threads that take part in the evaluation.

use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::attrs::{Attrs, Shape};
use super::objects::{App, Closure, List, NixPath, NixStr, PartialApp};
use crate::builtin::BuiltinDef;

/// A Nix value, evaluated or not.
///
/// Equality of words is *identity*: two words are equal when they are the same immediate or the same heap object.
/// Use [`crate::Evaluator::equal`] for the language's `==`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Value {
    word: NonZeroU64,
    thread: PhantomData<*const ()>,
}

/// A value as an object, a frame or a list holds it: four bytes. Zero where nothing was stored yet.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Slot(u32);

/// The bits of a word that a slot leaves out, as they are zero.
const SLOT_SHIFT: u32 = 2;

/// Where the addresses end that fit a slot.
pub(super) const ADDRESS_END: usize = 1 << (u32::BITS + SLOT_SHIFT);

impl Slot {
    pub(super) const NULL: Slot = Slot((NULL >> SLOT_SHIFT) as u32);
    pub(super) const UNSET: Slot = Slot((UNSET >> SLOT_SHIFT) as u32);

    /// What a value is stored as.
    #[inline(always)]
    pub(super) fn of(value: Value) -> Slot {
        Slot((value.bits() >> SLOT_SHIFT) as u32)
    }

    /// What may be a slot, or is none and is kept in the place of one.
    #[inline(always)]
    pub(super) fn of_bits(bits: u32) -> Slot {
        Slot(bits)
    }

    /// What was kept so.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// The value that was stored here.
    #[inline(always)]
    pub(super) fn value(self) -> Value {
        debug_assert!(self.0 != 0);
        // SAFETY: who reads a slot knows that something was stored there, and no value is zero.
        Value { word: unsafe { NonZeroU64::new_unchecked(self.word()) }, thread: PhantomData }
    }

    /// The word of the value; zero where nothing was stored.
    #[inline(always)]
    pub(super) fn word(self) -> u64 {
        u64::from(self.0) << SLOT_SHIFT
    }

    /// Reads what another thread may just be changing, to something that means the same.
    ///
    /// # Safety
    /// It is the address of a slot of a live object or of a value stack.
    #[inline(always)]
    pub(super) unsafe fn load(slot: *mut Slot) -> Slot {
        // SAFETY: as above; a slot is a `u32`.
        Slot(unsafe { AtomicU32::from_ptr(slot.cast()) }.load(Ordering::Relaxed))
    }

    /// Changes such a slot.
    ///
    /// # Safety
    /// As for [`Slot::load`].
    #[inline(always)]
    pub(super) unsafe fn store(slot: *mut Slot, word: u64) {
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(slot.cast()) }.store((word >> SLOT_SHIFT) as u32, Ordering::Relaxed);
    }
}

/// Is this the word of an object, or zero?
#[inline(always)]
pub(super) fn is_address(word: u64) -> bool {
    word & IMMEDIATE == 0
}

/// Words, of eight bytes, that so many slots take.
#[inline(always)]
pub(super) const fn words_of(slots: usize) -> usize {
    slots.div_ceil(2)
}

/// What a heap object is: the low byte of its header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Code and captured words, not yet evaluated.
    Thunk = 0,
    /// A function and its arguments, not yet applied.
    App = 1,
    /// A thunk being evaluated.
    Blackhole = 2,
    /// A thunk that has its value.
    Indirection = 3,
    /// A thunk that ended in an error.
    Failed = 4,
    /// A thunk that has its value and knows what that was made from. Both follow the header.
    Noted = 5,
    /// A function that nobody asked for yet: a closure in all but its look. Nix holds a thunk in its place.
    Pending = 6,
    Int = 7,
    Float = 8,
    Str = 9,
    StrCtx = 10,
    Path = 11,
    List = 12,
    Attrs = 13,
    Layered = 14,
    Closure = 15,
    Builtin = 16,
    PartialApp = 17,
    Shape = 18,
}

impl Kind {
    #[inline(always)]
    pub(crate) fn from_header(header: u64) -> Kind {
        // SAFETY: every header is written by this crate's `value` modules with a valid kind in its low byte.
        unsafe { std::mem::transmute::<u8, Kind>(header as u8) }
    }
}

/// Where length or address begin in a header word.
const PAYLOAD_SHIFT: u32 = 16;

/// Flag of the header of a shape that literals or merges share.
pub(super) const SHARED_FLAG: u64 = 1 << 8;

/// Flag of the header of a thunk that survived a collection: who gives it a value must tell the collector.
pub(super) const OLD_FLAG: u64 = 1 << 8;

/// Flag of the header of a string without context: no other string that has it has the same bytes. A word follows the
/// bytes: zero, or the number of the symbol of that name, plus one.
pub(super) const UNIQUE_FLAG: u64 = 1 << 8;

/// Flag of the header of a thunk that began as a suspended application: its size follows from a length, not from code.
pub(super) const APP_FLAG: u64 = 1 << 9;

/// Flag of the header of a list that is the end of another one. Slots follow: that list, and how many of its elements are
/// left out.
pub(super) const END_FLAG: u64 = 1 << 8;

/// Where the number of the thread begins in the header of a thunk that is being evaluated.
const OWNER_SHIFT: u32 = 10;

/// The bits of that number.
const OWNER_MASK: u64 = 0b1_1111 << OWNER_SHIFT;

/// Flag of the header of a thunk that is being evaluated: another thread waits for it.
pub(super) const AWAITED_FLAG: u64 = 1 << 15;

/// Most threads that can take part in an evaluation.
pub(crate) const MAX_THREADS: usize = 32;

/// The thread that evaluates a thunk with this header.
#[inline(always)]
pub(crate) fn owner(header: u64) -> u8 {
    ((header & OWNER_MASK) >> OWNER_SHIFT) as u8
}

/// The header of the same object as something else, that no thread owns.
#[inline(always)]
pub(super) fn with_kind(header: u64, kind: Kind) -> u64 {
    header & !(0xff | OWNER_MASK | AWAITED_FLAG) | kind as u64
}

/// The header of a thunk while this thread evaluates it.
#[inline(always)]
pub(super) fn owned(header: u64, owner: u8) -> u64 {
    with_kind(header, Kind::Blackhole) | u64::from(owner) << OWNER_SHIFT
}

/// Header word of an object of `kind` with `len` elements, arguments or bytes.
#[inline(always)]
pub(crate) fn header(kind: Kind, len: usize) -> u64 {
    kind as u64 | (len as u64) << PAYLOAD_SHIFT
}

/// Header word of an object of `kind` that begins with the address of what describes it. Addresses of user space fit 48
/// bits on all machines we run on.
#[inline(always)]
pub(crate) fn header_of<T>(kind: Kind, describing: *const T) -> u64 {
    kind as u64 | (describing as u64) << PAYLOAD_SHIFT
}

/// The length stored in a header word.
#[inline(always)]
pub(crate) fn header_len(header: u64) -> usize {
    (header >> PAYLOAD_SHIFT) as usize
}

/// The address stored in a header word.
#[inline(always)]
pub(crate) fn header_address<T>(header: u64) -> *const T {
    (header >> PAYLOAD_SHIFT) as *const T
}

/// What is no address has this bit.
const IMMEDIATE: u64 = 0b0100;
const NULL: u64 = 0b00_1100;
const FALSE: u64 = 0b01_1100;
const TRUE: u64 = 0b10_1100;
const UNSET: u64 = 0b11_1100;
const TAG_MASK: u64 = 0b1111;
const INT_TAG: u64 = IMMEDIATE;
const INT_SHIFT: u32 = 4;

/// A value in weak head normal form, taken apart. See [`Value::view`].
#[derive(Clone, Copy)]
pub enum View {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A double-precision number.
    Float(f64),
    /// A string with its context.
    Str(NixStr),
    /// A path with its root.
    Path(NixPath),
    /// A list.
    List(List),
    /// An attribute set.
    Attrs(Attrs),
    /// A function written in Nix.
    Closure(Closure),
    /// A builtin function with no argument yet.
    Builtin(&'static BuiltinDef),
    /// A builtin function with some of its arguments.
    PartialApp(PartialApp),
    /// Not evaluated (or failed): force it first.
    Thunk,
}

impl Value {
    /// `null`
    #[allow(clippy::declare_interior_mutable_const)]
    pub const NULL: Value = Value::immediate(NULL);
    /// `true`
    pub const TRUE: Value = Value::immediate(TRUE);
    /// `false`
    pub const FALSE: Value = Value::immediate(FALSE);

    /// What a list or set that is being built holds where nothing was stored yet.
    #[allow(clippy::declare_interior_mutable_const)]
    pub(super) const UNSET: Value = Value::immediate(UNSET);

    const fn immediate(word: u64) -> Value {
        match NonZeroU64::new(word) {
            Some(word) => Value { word, thread: PhantomData },
            None => panic!("an immediate has a tag"),
        }
    }

    /// A boolean.
    #[inline(always)]
    pub fn bool(b: bool) -> Value {
        if b { Value::TRUE } else { Value::FALSE }
    }

    /// An integer that fits the word, or `None` when it needs a heap object ([`super::Heap::int`]).
    #[inline(always)]
    pub(crate) fn small_int(i: i64) -> Option<Value> {
        let shifted = (i as i32) << (INT_SHIFT - SLOT_SHIFT);
        let is_whole = i64::from(shifted >> (INT_SHIFT - SLOT_SHIFT)) == i;
        is_whole.then(|| Value::immediate(u64::from(shifted as u32) << SLOT_SHIFT | INT_TAG))
    }

    /// The value that stands for the object at `object`.
    #[inline(always)]
    pub(crate) fn from_object(object: *mut u64) -> Value {
        debug_assert!((object as usize) < ADDRESS_END);
        match NonZeroU64::new(object as u64) {
            Some(word) => Value { word, thread: PhantomData },
            None => unreachable!("the heap hands out no null pointer"),
        }
    }

    /// The object this word points to; meaningful only when [`Value::is_object`].
    #[inline(always)]
    pub(crate) fn object(self) -> *mut u64 {
        self.word.get() as *mut u64
    }

    /// The word itself, for identity and debugging.
    #[inline(always)]
    pub fn bits(self) -> u64 {
        self.word.get()
    }

    #[inline(always)]
    pub(crate) fn is_object(self) -> bool {
        is_address(self.word.get())
    }

    /// The slots of an object, which follow its header.
    #[inline(always)]
    pub(super) fn slots(self) -> *mut Slot {
        self.object().wrapping_add(1).cast()
    }

    /// So many slots of an object, from one on.
    ///
    /// # Safety
    /// The object has them, and something was stored in all.
    #[inline(always)]
    pub(super) unsafe fn slots_from(&self, first: usize, len: usize) -> &[Slot] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.slots().add(first), len) }
    }

    /// Stores a value in a slot of an object.
    ///
    /// # Safety
    /// The object has that slot, and nobody else has it yet.
    #[inline(always)]
    pub(super) unsafe fn set_slot(self, index: usize, value: Value) {
        // SAFETY: as above.
        unsafe { *self.slots().add(index) = Slot::of(value) };
    }

    /// Stores values in the slots of an object from one on.
    ///
    /// # Safety
    /// As for [`Value::set_slot`].
    #[inline(always)]
    pub(super) unsafe fn set_slots(self, first: usize, values: &[Value]) {
        for (index, value) in (first..).zip(values) {
            // SAFETY: as above.
            unsafe { self.set_slot(index, *value) };
        }
    }

    /// Header of the object; meaningful only when [`Value::is_object`].
    #[inline(always)]
    pub(crate) fn header(self) -> u64 {
        debug_assert!(self.is_object());
        self.atomic_header().load(Ordering::Acquire)
    }

    /// Header of the object; what another thread writes before it changes a header is seen by who reads that.
    #[inline(always)]
    pub(super) fn atomic_header(&self) -> &AtomicU64 {
        // SAFETY: a word with clear low bits points to a live heap object, whose first word is its header; where another
        // thread may see the object already, that is read and changed as here.
        unsafe { AtomicU64::from_ptr(self.object()) }
    }

    /// The kind of the object; `None` for an immediate.
    #[inline(always)]
    pub(crate) fn kind(self) -> Option<Kind> {
        if self.is_object() { Some(Kind::from_header(self.header())) } else { None }
    }

    /// Is this a thunk in any state (unevaluated, being evaluated, an indirection, failed, a pending function)?
    #[inline(always)]
    pub(crate) fn is_thunk(self) -> bool {
        self.is_object() && (self.header() as u8) <= Kind::Pending as u8
    }

    /// Has the value no parts and no identity (a number, string, path, Boolean or null)?
    #[inline(always)]
    pub(crate) fn is_plain(self) -> bool {
        match self.kind() {
            None => true,
            Some(kind) => matches!(kind, Kind::Int | Kind::Float | Kind::Str | Kind::StrCtx | Kind::Path),
        }
    }

    /// The integer, if this is an immediate one.
    #[inline(always)]
    pub(crate) fn as_small_int(self) -> Option<i64> {
        let is_int = self.word.get() & TAG_MASK == INT_TAG;
        is_int.then(|| i64::from((self.word.get() >> SLOT_SHIFT) as i32 >> (INT_SHIFT - SLOT_SHIFT)))
    }

    /// The integer, if this is an evaluated integer.
    #[inline(always)]
    pub fn as_int(self) -> Option<i64> {
        match self.as_small_int() {
            Some(i) => Some(i),
            None => match self.kind() {
                // SAFETY: an `Int` object has its number in the second word.
                Some(Kind::Int) => Some(unsafe { *self.object().add(1) } as i64),
                _ => None,
            },
        }
    }

    /// The boolean, if this is an evaluated boolean.
    #[inline(always)]
    pub fn as_bool(self) -> Option<bool> {
        match self.word.get() {
            TRUE => Some(true),
            FALSE => Some(false),
            _ => None,
        }
    }

    /// The number, if this is an evaluated float.
    #[inline]
    pub fn as_float(self) -> Option<f64> {
        match self.kind() {
            // SAFETY: a `Float` object has the bits of its number in the second word.
            Some(Kind::Float) => Some(f64::from_bits(unsafe { *self.object().add(1) })),
            _ => None,
        }
    }

    /// The string, if this is an evaluated string.
    #[inline(always)]
    pub fn as_str(self) -> Option<NixStr> {
        match self.kind() {
            Some(Kind::Str | Kind::StrCtx) => Some(NixStr(self)),
            _ => None,
        }
    }

    /// The path, if this is an evaluated path.
    #[inline]
    pub fn as_path(self) -> Option<NixPath> {
        match self.kind() {
            Some(Kind::Path) => Some(NixPath(self)),
            _ => None,
        }
    }

    /// The list, if this is an evaluated list.
    #[inline(always)]
    pub fn as_list(self) -> Option<List> {
        match self.kind() {
            Some(Kind::List) => Some(List(self)),
            _ => None,
        }
    }

    /// The set, if this is an evaluated attribute set.
    #[inline(always)]
    pub fn as_attrs(self) -> Option<Attrs> {
        match self.kind() {
            Some(Kind::Attrs | Kind::Layered) => Some(Attrs(self)),
            _ => None,
        }
    }

    /// The closure, if this is a function written in Nix.
    #[inline(always)]
    pub fn as_closure(self) -> Option<Closure> {
        match self.kind() {
            Some(Kind::Closure) => Some(Closure(self)),
            _ => None,
        }
    }

    /// Is this an evaluated function: one written in Nix, or a builtin with fewer arguments than it takes?
    #[inline(always)]
    pub fn is_function(self) -> bool {
        matches!(self.kind(), Some(Kind::Closure | Kind::Builtin | Kind::PartialApp))
    }

    /// Takes a forced value apart. An indirection is followed; anything else that is not evaluated is
    /// [`View::Thunk`].
    pub fn view(self) -> View {
        let value = self.forced();
        let Some(kind) = value.kind() else {
            return match value.as_small_int() {
                Some(i) => View::Int(i),
                None => match value.as_bool() {
                    Some(b) => View::Bool(b),
                    None => View::Null,
                },
            };
        };
        match kind {
            Kind::Int => View::Int(value.as_int().unwrap_or_default()),
            Kind::Float => View::Float(value.as_float().unwrap_or_default()),
            Kind::Str | Kind::StrCtx => View::Str(NixStr(value)),
            Kind::Path => View::Path(NixPath(value)),
            Kind::List => View::List(List(value)),
            Kind::Attrs | Kind::Layered => View::Attrs(Attrs(value)),
            Kind::Closure => View::Closure(Closure(value)),
            Kind::Builtin => View::Builtin(value.builtin()),
            Kind::PartialApp => View::PartialApp(PartialApp(value)),
            Kind::Thunk
            | Kind::App
            | Kind::Blackhole
            | Kind::Indirection
            | Kind::Failed
            | Kind::Noted
            | Kind::Pending
            | Kind::Shape => View::Thunk,
        }
    }

    /// The value of a place that was forced.
    #[inline]
    pub fn forced(self) -> Value {
        match self.kind() {
            Some(Kind::Indirection) => self.target(),
            Some(Kind::Noted) => self.noted().0,
            _ => self,
        }
    }

    /// The value behind an indirection, without evaluating anything; any other value itself. Of a place that was not
    /// forced here: what its value was made from is not used by who looks at it so.
    #[inline(always)]
    pub fn follow(self) -> Value {
        if self.is_object() && self.header() as u8 == Kind::Indirection as u8 { self.target() } else { self }
    }

    /// As [`Value::follow`], with the kind of the object; `None` for an immediate. Headers are read once.
    #[inline(always)]
    pub(crate) fn follow_kind(self) -> (Value, Option<Kind>) {
        match self.kind() {
            Some(Kind::Indirection) => {
                let target = self.target();
                (target, target.kind())
            }
            kind => (self, kind),
        }
    }

    /// The value, or what an indirection leads to, unless something is to be evaluated first.
    #[inline(always)]
    pub(crate) fn at_hand(self) -> Option<Value> {
        match self.kind() {
            Some(kind) if kind <= Kind::Pending => (kind == Kind::Indirection).then(|| self.target()),
            _ => Some(self),
        }
    }

    /// The set without layers that this is or that an indirection leads to, and its shape. Headers are read once.
    #[inline(always)]
    pub(crate) fn flat_attrs_at_hand(self) -> Option<(Attrs, Shape)> {
        let (value, header) = match self.is_object().then(|| self.header()) {
            Some(header) if Kind::from_header(header) == Kind::Indirection => {
                let target = self.target();
                (target, target.is_object().then(|| target.header())?)
            }
            header => (self, header?),
        };
        (Kind::from_header(header) == Kind::Attrs).then(|| (Attrs(value), Shape::of_header(header)))
    }

    /// Is this a unique string? (See [`UNIQUE_FLAG`].)
    #[inline(always)]
    pub(crate) fn is_unique_string(self) -> bool {
        const UNIQUE: u64 = Kind::Str as u64 | UNIQUE_FLAG;
        self.is_object() && self.header() & (0xff | UNIQUE_FLAG) == UNIQUE
    }

    /// The string that an object of such a kind is.
    #[inline(always)]
    pub(crate) fn str_of_kind(self, kind: Option<Kind>) -> Option<NixStr> {
        match kind {
            Some(Kind::Str | Kind::StrCtx) => Some(NixStr(self)),
            _ => None,
        }
    }

    /// Are these sets without layers that have the same shape?
    #[inline(always)]
    pub(crate) fn same_flat_shape(self, other: Value) -> bool {
        let header = self.header();
        header as u8 == Kind::Attrs as u8 && header == other.header()
    }

    /// The value of an `Indirection`, which is evaluated and so never an indirection itself.
    #[inline(always)]
    pub(crate) fn target(self) -> Value {
        debug_assert_eq!(self.kind(), Some(Kind::Indirection));
        self.first_slot()
    }

    /// The first slot of an object that has one. Another thread may just be giving a thunk its value.
    #[inline(always)]
    pub(super) fn first_slot(self) -> Value {
        // SAFETY: objects have room for two slots; callers know that the first one holds a value.
        unsafe { Slot::load(self.slots()) }.value()
    }

    /// Sets the first slot of a thunk.
    #[inline(always)]
    pub(super) fn set_first_slot(self, value: Value) {
        // SAFETY: objects have room for two slots.
        unsafe { Slot::store(self.slots(), value.bits()) };
    }

    /// The definition behind a `Builtin` object.
    #[inline(always)]
    pub(crate) fn builtin(self) -> &'static BuiltinDef {
        debug_assert_eq!(self.kind(), Some(Kind::Builtin));
        // SAFETY: the second word of a `Builtin` object is a `&'static BuiltinDef`.
        unsafe { &*(*self.object().add(1) as *const BuiltinDef) }
    }

    /// Is this a thunk that is being evaluated, and will fail if it needs itself?
    pub(crate) fn is_blackhole(self) -> bool {
        self.kind() == Some(Kind::Blackhole) && !self.is_claimed_app()
    }

    /// Is this a suspended application that is being evaluated?
    #[inline(always)]
    pub(crate) fn is_claimed_app(self) -> bool {
        self.kind() == Some(Kind::Blackhole) && self.header() & APP_FLAG != 0
    }

    /// A suspended application that this thread claimed.
    #[inline(always)]
    pub(crate) fn claimed_app(self) -> App {
        debug_assert!(self.is_claimed_app());
        App(self)
    }

    /// The suspended application behind an `App` object.
    #[inline(always)]
    pub(crate) fn as_app(self) -> Option<App> {
        match self.kind() {
            Some(Kind::App) => Some(App(self)),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind() {
            Some(kind) => write!(f, "{kind:?}@{:x}", self.bits()),
            None => write!(f, "immediate {:x}", self.bits()),
        }
    }
}
