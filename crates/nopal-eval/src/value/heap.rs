//! The heap: allocation, and the constructors of every kind of object.
//!
//! Objects are word aligned, at least two words long (so that a thunk can be overwritten by an indirection) and never
//! move.

use std::alloc::{Layout, handle_alloc_error};
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::hash_table::Entry;
use nopal_syntax::{Interner, Symbol};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::attrs::{RECENT_SHAPES, Shape};
use super::chunk::LARGE_BYTES;
use super::limit::Limit;
use super::objects::{List, NixStr, Root};
use super::space::{BLOCK_BYTES, Block, Finished, Made, Run, SMALL_BYTES, Space};
use super::stack::Stack;
use super::update::{MergeMemory, Merged, Pair, RecentPlans, Removal};
use super::word::{
    APP_FLAG, AWAITED_FLAG, END_FLAG, Kind, OLD_FLAG, Slot, UNIQUE_FLAG, Value, header, header_address, header_of,
    owned, owner, with_kind, words_of,
};
use super::world::{Invitation, World};
use crate::builtin::BuiltinDef;
use crate::code::ir::{Lambda, ThunkCode};
use crate::context::Context;
use crate::error::Error;
use crate::pos::Pos;
use crate::uses::UseSet;

/// Constants of at most so many bytes are unique.
const UNIQUE_BYTES: usize = 24;

/// So many elements are copied when a list is made that is the end of another one.
const COPIED_ELEMENTS: usize = 8;

/// The memory of one thread of an evaluation.
pub struct Heap {
    /// The run that objects are allocated from: its begin, the next object, its end.
    begin: *mut u64,
    next: *mut u64,
    end: *mut u64,
    /// The block that it is in.
    block: Option<Block>,
    /// What was made before, as far as nobody was told.
    made: Made,
    pub(super) world: Arc<World>,
    /// The number of this thread among those that take part.
    pub(super) thread: u8,
    /// Whether other threads take part.
    pub(super) is_shared: bool,
    /// Local variables of the code that is being evaluated.
    pub(crate) stack: Stack,
    /// Bytes taken since this thread last asked whether something is to be collected.
    unchecked_bytes: usize,
    /// While above zero nothing is collected.
    pub(super) holds: usize,
    pub(super) limit: Limit,
    /// Memory for the collector's work list.
    pub(super) grey: Vec<*mut Slot>,
    /// Old thunks that were changed since the last collection, and may refer to what is not old.
    pub(super) changed: Vec<Value>,
    failures: Vec<(Error, UseSet)>,
    constants: Constants,
    pub(super) merges: FxHashMap<Pair, Merged>,
    /// Removals that are seen again, by shape and names; none yet where one was seen once.
    pub(super) removals: FxHashMap<(usize, u64), Option<&'static Removal>>,
    /// What all of these take.
    pub(super) merge_entries: usize,
    /// Plans that were followed lately.
    pub(super) recent_plans: RecentPlans,
    pub(super) merge_memory: MergeMemory,
    /// Shapes made at run time that this thread asked for lately, with their hashes.
    pub(super) recent_shapes: Box<[Option<(u64, Shape)>]>,
    /// A shape, and the one with the same names and no positions.
    pub(super) bare: Option<(Shape, Shape)>,
    /// Memory for sets that are made: keys and positions.
    pub(super) keys: Vec<Symbol>,
    pub(super) positions: Vec<Pos>,
    symbol_strings: Vec<Option<Value>>,
}

/// Values that exist once, and are never collected.
#[derive(Clone, Copy)]
pub(super) struct Constants {
    empty_list: Value,
    empty_shape: Shape,
    empty_attrs: Value,
}

impl Heap {
    /// An empty heap, used by the current thread. When `collect_after_bytes` were allocated it is looked through for what
    /// is no longer needed (see [`crate::Settings::collect_after_bytes`]).
    pub fn new(collect_after_bytes: usize, max_memory_bytes: Option<usize>) -> Heap {
        let constants = Constants { empty_list: Value::NULL, empty_shape: Shape::dangling(), empty_attrs: Value::NULL };
        let world = Arc::new(World::new(collect_after_bytes));
        let mut heap = Heap::of(Invitation { world, constants, max_memory_bytes }, 0);
        // until the heap has what its roots are made of
        heap.holds = 1;
        let empty_list = heap.new_object(Kind::List, 0, 0);
        let empty_shape = heap.new_shape(&[], &[], true);
        let empty_attrs = heap.attrs_object(empty_shape);
        for value in [empty_list, Value::from_object(empty_shape.address()), empty_attrs] {
            heap.keep(value);
        }
        heap.constants = Constants { empty_list, empty_shape, empty_attrs };
        heap.holds = 0;
        heap
    }

    fn of(invitation: Invitation, thread: u8) -> Heap {
        let Invitation { world, constants, max_memory_bytes } = invitation;
        Heap {
            begin: std::ptr::null_mut(),
            next: std::ptr::null_mut(),
            end: std::ptr::null_mut(),
            block: None,
            made: Made::default(),
            world,
            thread,
            is_shared: thread != 0,
            stack: Stack::new(),
            unchecked_bytes: 0,
            holds: 0,
            limit: Limit::new(max_memory_bytes),
            grey: Vec::new(),
            changed: Vec::new(),
            failures: Vec::new(),
            constants,
            merges: FxHashMap::default(),
            removals: FxHashMap::default(),
            merge_entries: 0,
            recent_plans: RecentPlans::default(),
            merge_memory: MergeMemory::default(),
            recent_shapes: vec![None; RECENT_SHAPES].into(),
            bare: None,
            keys: Vec::new(),
            positions: Vec::new(),
            symbol_strings: Vec::new(),
        }
    }

    /// Lets another thread take part in the evaluation, by [`Heap::join`].
    pub(crate) fn invite(&mut self) -> Invitation {
        self.is_shared = true;
        Invitation { world: self.world.clone(), constants: self.constants, max_memory_bytes: self.limit.max_bytes() }
    }

    /// The current thread takes part in the evaluation it was invited to.
    pub(crate) fn join(invitation: Invitation) -> Heap {
        let thread = invitation.world.join();
        Heap::of(invitation, thread)
    }

    /// Whether nothing can be collected now.
    pub(crate) fn is_held(&self) -> bool {
        self.holds != 0
    }

    /// The current thread takes part no more.
    pub(crate) fn leave(&mut self) {
        self.retire_runs();
        self.tell_changed();
        self.world.leave();
    }

    /// The number of this thread; the one that began the evaluation is 0.
    #[inline(always)]
    pub(crate) fn thread(&self) -> u8 {
        self.thread
    }

    /// Whether other threads take part in the evaluation, or did.
    #[inline(always)]
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Makes all threads but this one end their evaluations with an error, soon.
    pub(crate) fn end_others(&self) {
        self.world.end();
    }

    /// Bytes allocated so far, whether collected or not.
    pub fn allocated_bytes(&self) -> u64 {
        self.world.space().total_bytes() + self.made.bytes() as u64 + (self.next as u64 - self.begin as u64)
    }

    /// `words` zeroed words.
    #[inline(always)]
    pub(super) fn alloc(&mut self, words: usize) -> *mut u64 {
        match self.alloc_at_once(words) {
            Some(object) => object,
            None => self.refill(words.max(2) * 8),
        }
    }

    /// The same, if they are left in this run.
    #[inline(always)]
    fn alloc_at_once(&mut self, words: usize) -> Option<*mut u64> {
        let words = words + usize::from(words < 2);
        let object = self.next;
        let next = object.wrapping_add(words);
        if next > self.end {
            return None;
        }
        self.next = next;
        Some(object)
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self, bytes: usize) -> *mut u64 {
        if !self.world.collects_always
            && let Some(object) = self.take_of_block(bytes)
        {
            return object;
        }
        self.unchecked_bytes += if bytes > SMALL_BYTES { bytes } else { self.stretch_bytes() };
        if self.holds == 0 && self.unchecked_bytes >= self.stretch_bytes() {
            self.unchecked_bytes = 0;
            if self.world.wants_stop() {
                self.stand(|| ());
            }
            if self.thread != 0 && self.world.is_ending() {
                self.limit.refuse();
            }
            self.collect_if_due();
            self.keep_to_limit(bytes);
        }
        let memory = if bytes > LARGE_BYTES {
            self.world.take_large(bytes)
        } else if bytes > SMALL_BYTES {
            self.world.take(self.world.space(), |space| space.big(bytes))
        } else {
            self.take_of_blocks(bytes)
        };
        match memory {
            Some(object) => object,
            None => match Layout::from_size_align(bytes, 8) {
                Ok(layout) => handle_alloc_error(layout),
                Err(_) => handle_alloc_error(Layout::new::<u64>()),
            },
        }
    }

    /// What is taken until this thread asks whether something is to be collected.
    fn stretch_bytes(&self) -> usize {
        if self.world.collects_always { SMALL_BYTES } else { BLOCK_BYTES }
    }

    /// So many bytes of the block that this thread has.
    fn take_of_block(&mut self, bytes: usize) -> Option<*mut u64> {
        let most = self.stretch_bytes();
        let block = self.block.as_mut()?;
        if bytes > SMALL_BYTES {
            let run = block.take_big(bytes)?;
            self.made.add_big(run);
            return Some(run.begin);
        }
        let run = block.take_run(most)?;
        self.made.add(Run { begin: self.begin, end: self.next });
        (self.begin, self.end) = (run.begin, run.end);
        self.next = run.begin.wrapping_byte_add(bytes);
        Some(run.begin)
    }

    /// So many bytes of the next block that has a run.
    fn take_of_blocks(&mut self, bytes: usize) -> Option<*mut u64> {
        loop {
            let (made, block) = self.leave_block();
            let mut space = self.world.space();
            space.retire(made, block);
            let block = self.world.take(space, Space::block)?;
            self.block = Some(block);
            if let Some(object) = self.take_of_block(bytes) {
                return Some(object);
            }
        }
    }

    /// Gives up its block.
    pub(super) fn retire_runs(&mut self) {
        let (made, block) = self.leave_block();
        self.world.space().retire(made, block);
    }

    /// Leaves its block; what it made, for [`Space::retire`].
    fn leave_block(&mut self) -> (Finished, Option<Block>) {
        self.made.add(Run { begin: self.begin, end: self.next });
        let mut block = self.block.take();
        if let Some(block) = &mut block
            && self.next < self.end
        {
            block.put_back(self.next);
        }
        (self.begin, self.next, self.end) = (Run::NONE.begin, Run::NONE.begin, Run::NONE.end);
        (self.made.finish(), block)
    }

    /// From now on nothing is collected, so that values may be kept anywhere. Every call is paired with [`Heap::release`].
    pub(crate) fn hold(&mut self) {
        self.holds += 1;
    }

    /// Ends what [`Heap::hold`] began.
    pub(crate) fn release(&mut self) {
        self.holds -= 1;
    }

    /// How often memory was looked through.
    pub fn collections(&self) -> u64 {
        self.world.collections.load(Ordering::Relaxed)
    }

    /// Never collects a value, and returns it.
    pub fn keep(&mut self, value: Value) -> Value {
        if value.is_object() {
            self.world.kept().values.push(value);
        }
        value
    }

    /// An object with a header for `len` and `payload` words after it.
    #[inline(always)]
    pub(super) fn new_object(&mut self, kind: Kind, len: usize, payload: usize) -> Value {
        let object = self.alloc(1 + payload);
        // SAFETY: the object has at least two words.
        unsafe { *object = header(kind, len) };
        Value::from_object(object)
    }

    /// An object whose header holds the address of what describes it, and `payload` words after it.
    #[inline(always)]
    pub(super) fn described_object<T>(&mut self, kind: Kind, describing: *const T, payload: usize) -> Value {
        let object = self.alloc(1 + payload);
        // SAFETY: the object has at least two words.
        unsafe { *object = header_of(kind, describing) };
        Value::from_object(object)
    }

    /// An integer.
    #[inline(always)]
    pub fn int(&mut self, i: i64) -> Value {
        match Value::small_int(i) {
            Some(value) => value,
            None => self.word_object(Kind::Int, i as u64),
        }
    }

    /// A float.
    pub fn float(&mut self, f: f64) -> Value {
        self.word_object(Kind::Float, f.to_bits())
    }

    fn word_object(&mut self, kind: Kind, word: u64) -> Value {
        let value = self.new_object(kind, 0, 1);
        // SAFETY: the object has two words.
        unsafe { *value.object().add(1) = word };
        value
    }

    /// A string without context.
    pub fn string(&mut self, bytes: &[u8]) -> Value {
        let value = self.new_object(Kind::Str, bytes.len(), bytes.len().div_ceil(8));
        // SAFETY: the object has room for the bytes after its header and does not overlap them.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.object().add(1).cast::<u8>(), bytes.len()) };
        value
    }

    /// A string without context that is never collected. Those that may be names are unique.
    pub(crate) fn constant_string(&mut self, bytes: &[u8]) -> Value {
        let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if bytes.len() <= UNIQUE_BYTES && bytes.iter().all(is_of_name) {
            return self.unique_string(bytes);
        }
        let value = self.string(bytes);
        self.keep(value)
    }

    /// A string that is never collected and one object for all that have the same bytes: two such strings are compared
    /// without a look at their bytes, and they know their symbols.
    fn unique_string(&mut self, bytes: &[u8]) -> Value {
        let hash = FxBuildHasher.hash_one(bytes);
        let same = |(_, value): &(u64, Value)| NixStr(*value).as_bytes() == bytes;
        if let Some((_, value)) = self.world.kept().strings.find(hash, same) {
            return *value;
        }
        let value = self.new_unique_string(bytes);
        let mut kept = self.world.kept();
        match kept.strings.entry(hash, same, |(hash, _)| *hash) {
            // another thread was quicker
            Entry::Occupied(entry) => return entry.get().1,
            Entry::Vacant(entry) => entry.insert((hash, value)),
        };
        kept.values.push(value);
        value
    }

    fn new_unique_string(&mut self, bytes: &[u8]) -> Value {
        let words = bytes.len().div_ceil(8);
        let object = self.alloc(1 + words + 1);
        // SAFETY: the object has room for the bytes after its header, and for a word behind them that is zero.
        unsafe {
            *object = header(Kind::Str, bytes.len()) | UNIQUE_FLAG;
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), object.add(1).cast::<u8>(), bytes.len());
        }
        Value::from_object(object)
    }

    /// A string with a context.
    pub fn string_with(&mut self, bytes: &[u8], context: Context) -> Value {
        if context.is_empty() {
            return self.string(bytes);
        }
        let value = self.new_object(Kind::StrCtx, bytes.len(), 1 + bytes.len().div_ceil(8));
        // SAFETY: the object has a context word and room for the bytes after it.
        unsafe {
            *value.object().add(1) = u64::from(context.raw());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.object().add(2).cast::<u8>(), bytes.len());
        }
        value
    }

    /// The string made of several pieces.
    pub(crate) fn string_concat(&mut self, pieces: &[NixStr], context: Context) -> Value {
        let len = pieces.iter().map(|piece| piece.as_bytes().len()).sum::<usize>();
        let words = if context.is_empty() { 0 } else { 1 };
        let kind = if context.is_empty() { Kind::Str } else { Kind::StrCtx };
        let value = self.new_object(kind, len, words + len.div_ceil(8));
        // SAFETY: the object has the context word if `words` is 1, and room for `len` bytes after it.
        unsafe {
            if words == 1 {
                *value.object().add(1) = u64::from(context.raw());
            }
            let mut to = value.object().add(1 + words).cast::<u8>();
            for piece in pieces {
                let bytes = piece.as_bytes();
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
                to = to.add(bytes.len());
            }
        }
        value
    }

    /// The name of a symbol as a string; made once per symbol.
    #[inline]
    pub fn symbol_string(&mut self, symbol: Symbol, symbols: &Interner) -> Value {
        match self.symbol_strings.get(symbol.index()) {
            Some(Some(value)) => *value,
            _ => self.new_symbol_string(symbol, symbols),
        }
    }

    #[cold]
    fn new_symbol_string(&mut self, symbol: Symbol, symbols: &Interner) -> Value {
        let value = self.unique_string(symbols.get(symbol));
        NixStr(value).know_symbol(symbol);
        if self.symbol_strings.len() <= symbol.index() {
            self.symbol_strings.resize(symbol.index() + 1, None);
        }
        self.symbol_strings[symbol.index()] = Some(value);
        value
    }

    /// A path. `path` must be absolute and canonical.
    pub fn path(&mut self, root: Root, path: &[u8]) -> Value {
        let value = self.new_object(Kind::Path, path.len(), 1 + path.len().div_ceil(8));
        // SAFETY: the object has a root word and room for the bytes after it.
        unsafe {
            *value.object().add(1) = u64::from(root.0);
            std::ptr::copy_nonoverlapping(path.as_ptr(), value.object().add(2).cast::<u8>(), path.len());
        }
        value
    }

    /// `[ ]`
    pub fn empty_list(&self) -> Value {
        self.constants.empty_list
    }

    /// A list of these elements.
    pub fn list(&mut self, elements: &[Value]) -> Value {
        if elements.is_empty() {
            return self.empty_list();
        }
        let value = self.list_to_fill(elements.len());
        // SAFETY: the object has one slot per element after its header.
        unsafe { value.set_slots(0, elements) };
        value
    }

    /// A list of `len` elements that are all to be filled.
    pub fn list_builder(&mut self, len: usize) -> ListBuilder {
        if len == 0 {
            return ListBuilder { list: self.empty_list(), len: 0 };
        }
        let list = self.list_to_fill(len);
        for index in 0..len {
            // SAFETY: the object has one slot per element after its header.
            unsafe { *list.slots().add(index) = Slot::UNSET };
        }
        ListBuilder { list, len }
    }

    /// A list of `len` elements, at least one, without elements: all must be set before anything else is done with it. It
    /// may be collected meanwhile.
    #[inline(always)]
    pub(crate) fn list_to_fill(&mut self, len: usize) -> Value {
        self.new_object(Kind::List, len, words_of(len))
    }

    /// The elements of a list but the first ones: a copy of few, a reference to many.
    pub fn list_without_first(&mut self, list: List, left_out: usize) -> Value {
        let len = list.len() - left_out;
        let (origin, first) = list.origin();
        match u32::try_from(first + left_out) {
            Ok(first) if len > COPIED_ELEMENTS => {
                let end = self.new_object(Kind::List, len, 1);
                // SAFETY: two slots follow the header.
                unsafe {
                    *end.object() |= END_FLAG;
                    *end.slots() = Slot::of(origin.value());
                    *end.slots().add(1) = Slot::of_bits(first);
                }
                end
            }
            _ => {
                let mut copy = self.list_builder(len);
                for (index, element) in list.iter().skip(left_out).enumerate() {
                    copy.set(index, element);
                }
                copy.finish()
            }
        }
    }

    pub(super) fn empty_shape(&self) -> Shape {
        self.constants.empty_shape
    }

    /// `{ }`
    pub fn empty_attrs(&self) -> Value {
        self.constants.empty_attrs
    }

    /// A function with room for what it captures, which [`Value::set_captured`] must fill before it is called.
    #[inline(always)]
    pub(crate) fn closure(&mut self, lambda: &'static Lambda, captured: usize) -> Value {
        self.described_object(Kind::Closure, lambda, words_of(captured))
    }

    /// As [`Heap::closure`], for a function that is not asked for yet.
    #[inline(always)]
    pub(crate) fn pending_closure(&mut self, lambda: &'static Lambda, captured: usize) -> Value {
        self.described_object(Kind::Pending, lambda, words_of(captured))
    }

    /// A thunk with room for what it captures, which [`Value::set_captured`] must fill before it is forced.
    #[inline(always)]
    pub(crate) fn thunk(&mut self, code: &'static ThunkCode, captured: usize) -> Value {
        self.described_object(Kind::Thunk, code, words_of(captured))
    }

    /// As [`Heap::thunk`], unless this thread must get more memory first.
    #[inline(always)]
    pub(crate) fn thunk_at_once(&mut self, code: &'static ThunkCode, captured: usize) -> Option<Value> {
        let object = self.alloc_at_once(1 + words_of(captured))?;
        // SAFETY: the object has at least two words.
        unsafe { *object = header_of(Kind::Thunk, code) };
        Some(Value::from_object(object))
    }

    /// The application of `function` to `args`, evaluated when it is forced.
    #[inline]
    pub fn app(&mut self, function: Value, args: &[Value]) -> Value {
        let value = self.new_object(Kind::App, args.len(), words_of(1 + args.len()));
        // SAFETY: the object has a slot for the function and one per argument after its header.
        unsafe {
            *value.object() |= APP_FLAG;
            value.set_slot(0, function);
            value.set_slots(1, args);
        }
        value
    }

    /// A builtin function.
    pub fn builtin(&mut self, def: &'static BuiltinDef) -> Value {
        self.word_object(Kind::Builtin, std::ptr::from_ref(def) as u64)
    }

    /// A builtin with some of its arguments.
    pub(crate) fn partial_app(&mut self, def: &'static BuiltinDef, args: &[Value]) -> Value {
        let value = self.new_object(Kind::PartialApp, args.len(), 1 + words_of(args.len()));
        // SAFETY: the object has the definition word, which is as much as two slots, and a slot per argument.
        unsafe {
            *value.object().add(1) = std::ptr::from_ref(def) as u64;
            value.set_slots(2, args);
        }
        value
    }

    /// Remembers that forcing `thunk` ended in `error`, which was made from `set`.
    pub(crate) fn set_failed(&mut self, thunk: Value, error: Error, set: UseSet) {
        self.failures.push((error, set));
        // SAFETY: a thunk object has at least two words.
        unsafe {
            *thunk.object().add(1) = (self.failures.len() - 1) as u64;
        }
        thunk.set_kind(Kind::Failed);
    }

    /// The error of a failed thunk, and what it was made from.
    pub(crate) fn failure(&self, thunk: Value) -> Option<(&Error, UseSet)> {
        if thunk.kind() != Some(Kind::Failed) {
            return None;
        }
        // SAFETY: a `Failed` object has the number of its error in the second word.
        let (error, set) = self.failures.get(unsafe { *thunk.object().add(1) } as usize)?;
        Some((error, *set))
    }
}

/// Is the thunk with this header being evaluated by a thread?
fn is_claimed(header: u64, thread: u8) -> bool {
    Kind::from_header(header) == Kind::Blackhole && owner(header) == thread
}

impl Value {
    /// Sets one captured value of a thunk or function that is being built.
    #[inline(always)]
    pub(crate) fn set_captured(self, index: usize, value: Value) {
        // SAFETY: thunks and closures have what they captured after the header; the index is below its number.
        unsafe { self.set_slot(index, value) };
    }

    /// Sets one element of a list that is being built.
    #[inline(always)]
    pub(crate) fn set_element(self, index: usize, value: Value) {
        // SAFETY: a list has one slot per element after its header; callers count as they did when they made it.
        unsafe { self.set_slot(index, value) };
    }

    /// What is in a cell.
    pub(crate) fn in_cell(self) -> Value {
        debug_assert_eq!(self.thunk_code().captures.len(), 1);
        self.captures().get(0)
    }

    /// The code of a `Thunk` object.
    #[inline(always)]
    pub(crate) fn thunk_code(self) -> &'static ThunkCode {
        ThunkCode::of_header(self.header())
    }

    /// Changes what an object is, and neither its size nor what describes it. Who sees the new kind sees all that was
    /// written before.
    #[inline(always)]
    fn set_kind(self, kind: Kind) {
        self.replace_kind(kind);
    }

    /// As [`Value::set_kind`]; returns the header that it had.
    #[inline(always)]
    fn replace_kind(self, kind: Kind) -> u64 {
        let header = self.header();
        self.atomic_header().store(with_kind(header, kind), Ordering::Release);
        header
    }

    /// Marks a thunk that has this header as being evaluated, where no other thread can see it. Its second and further words
    /// are kept.
    #[inline(always)]
    pub(crate) fn set_blackhole(self, header: u64) {
        self.atomic_header().store(with_kind(header, Kind::Blackhole), Ordering::Relaxed);
    }

    /// Marks a thunk or an application that has this header as being evaluated by a thread, unless another one was
    /// quicker.
    #[inline(always)]
    pub(crate) fn claim(self, header: u64, thread: u8) -> bool {
        let (to, success) = (owned(header, thread), Ordering::Acquire);
        self.atomic_header().compare_exchange(header, to, success, Ordering::Relaxed).is_ok()
    }

    /// Whether this thunk is being evaluated by a thread.
    pub(crate) fn is_claimed_by(self, thread: u8) -> bool {
        is_claimed(self.header(), thread)
    }

    /// Takes note that somebody waits for this thunk, if it is still being evaluated by a thread.
    pub(crate) fn set_awaited(self, thread: u8) {
        let awaited = |header| is_claimed(header, thread).then_some(header | AWAITED_FLAG);
        // it is not: then nobody has to wait
        let _ = self.atomic_header().fetch_update(Ordering::Acquire, Ordering::Acquire, awaited);
    }

    /// Undoes [`Value::claim`]: nothing happened.
    pub(crate) fn unclaim(self) {
        let kind = if self.header() & APP_FLAG != 0 { Kind::App } else { Kind::Thunk };
        self.set_kind(kind);
    }

    /// Makes a pending function, which has this header, a function. Another thread may just be doing the same.
    #[inline(always)]
    pub(crate) fn set_closure(self, header: u64) {
        debug_assert_eq!(Kind::from_header(header), Kind::Pending);
        self.atomic_header().store(with_kind(header, Kind::Closure), Ordering::Release);
    }
}

impl Heap {
    /// Puts something else into a cell: a thunk of one captured word that is never evaluated.
    pub(crate) fn set_cell(&mut self, cell: Value, value: Value) {
        debug_assert_eq!(cell.thunk_code().captures.len(), 1);
        cell.set_captured(0, value);
        if cell.header() & OLD_FLAG != 0 {
            self.remember(cell);
        }
    }

    /// Gives a thunk its value. Whether a thread waits for it; one that begins to at this moment may be missed.
    #[inline(always)]
    pub(crate) fn set_indirection(&mut self, thunk: Value, value: Value) -> bool {
        self.settle(thunk, Kind::Indirection, value)
    }

    /// Gives a thunk its value, which was made from `set`.
    pub(crate) fn set_noted(&mut self, thunk: Value, value: Value, set: UseSet) {
        // SAFETY: every object has room for two slots; the second one of a `Noted` is no value, and nobody takes it for one.
        unsafe { *thunk.slots().add(1) = Slot::of_bits(set.raw()) };
        self.settle(thunk, Kind::Noted, value);
    }

    /// Makes a thunk one of another kind with another first slot; see [`Heap::set_indirection`].
    #[inline(always)]
    fn settle(&mut self, thunk: Value, kind: Kind, value: Value) -> bool {
        thunk.set_first_slot(value);
        let header = thunk.replace_kind(kind);
        if header & OLD_FLAG != 0 {
            self.remember(thunk);
        }
        header & AWAITED_FLAG != 0
    }

    /// Takes note that an old thunk may refer to what is not old.
    #[inline(never)]
    fn remember(&mut self, thunk: Value) {
        self.changed.push(thunk);
    }

    /// Tells the collector which old thunks this thread changed.
    pub(super) fn tell_changed(&mut self) {
        self.world.changed().append(&mut self.changed);
    }
}

impl Value {
    /// The value of a `Noted`, and what it was made from.
    pub(crate) fn noted(self) -> (Value, UseSet) {
        debug_assert_eq!(self.kind(), Some(Kind::Noted));
        // SAFETY: the second slot of a `Noted` is the number of a set.
        (self.first_slot(), UseSet::from_raw(unsafe { *self.slots().add(1) }.bits()))
    }
}

impl ThunkCode {
    /// The code of the `Thunk` object that has this header.
    #[inline(always)]
    pub(crate) fn of_header(header: u64) -> &'static ThunkCode {
        debug_assert_eq!(Kind::from_header(header), Kind::Thunk);
        // SAFETY: the header of a `Thunk` holds the address of a `&'static ThunkCode`.
        unsafe { &*header_address(header) }
    }
}

/// A list under construction.
pub struct ListBuilder {
    list: Value,
    len: usize,
}

impl ListBuilder {
    /// Sets the element at `index`.
    ///
    /// # Panics
    /// When `index` is not below the length given to [`Heap::list_builder`].
    #[inline(always)]
    pub fn set(&mut self, index: usize, value: Value) {
        assert!(index < self.len, "list index in range");
        self.list.set_element(index, value);
    }

    /// The finished list.
    pub fn finish(self) -> Value {
        self.list
    }

    /// The finished list as a handle.
    pub fn finish_list(self) -> List {
        List(self.list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_themselves_in_a_word_or_an_object() {
        let mut heap = Heap::new(0, None);
        for bit in 0..63 {
            for i in [(1_i64 << bit) - 1, 1 << bit, -(1 << bit), -(1 << bit) - 1] {
                let value = heap.int(i);
                assert_eq!(value.as_int(), Some(i));
                assert_eq!(value.is_object(), !(-(1 << 29)..1 << 29).contains(&i), "{i}");
                assert_eq!(Slot::of(value).value(), value);
            }
        }
        for value in [Value::NULL, Value::TRUE, Value::FALSE, Value::UNSET] {
            assert!(!value.is_object() && value.as_int().is_none() && Slot::of(value).value() == value);
        }
    }

    #[test]
    fn constants_that_may_be_names_are_one_object() {
        let mut heap = Heap::new(0, None);
        let mut symbols = Interner::new();
        let name = heap.constant_string(b"some-name");
        heap.collect();
        assert_eq!(heap.constant_string(b"some-name"), name);
        assert_ne!(heap.constant_string(b"some-named"), name);
        let made = heap.string(b"some-name");
        assert!(made != name && made.as_str().unwrap().has_bytes_of(name.as_str().unwrap()));
        assert_ne!(heap.constant_string(b"no name"), heap.constant_string(b"no name"));

        assert_eq!(name.as_str().unwrap().known_symbol(), None);
        let symbol = symbols.intern(b"some-name");
        assert_eq!(heap.symbol_string(symbol, &symbols), name);
        assert_eq!(name.as_str().unwrap().known_symbol(), Some(symbol));
        assert_eq!(made.as_str().unwrap().known_symbol(), None);
    }
}
