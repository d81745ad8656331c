//! Memory that grows: strings that are put together from parts, and tables of pointers to them.

use core::mem::MaybeUninit;

use crate::memory::copy;
use crate::message::{give_up, say};
use crate::sys;

/// How much is asked of the kernel at once: what usual wrappers need, so that it is asked once.
const CHUNK_BYTES: usize = 128 << 10;

/// Bytes that somebody else keeps: a slice without checks, whose messages would have addresses.
#[derive(Clone, Copy)]
pub struct Bytes {
    /// Where they begin.
    pub at: *const u8,
    /// How many.
    pub count: usize,
}

impl Bytes {
    /// Those of a text of ours.
    pub fn of(text: &[u8]) -> Self {
        Self { at: text.as_ptr(), count: text.len() }
    }

    /// Those up to the zero that ends them; none at no place.
    ///
    /// # Safety
    /// A zero ends them.
    pub unsafe fn from_c(at: *const u8) -> Self {
        // SAFETY: as the caller says
        Self { at, count: if at.is_null() { 0 } else { unsafe { crate::memory::strlen(at) } } }
    }

    /// The byte at an index; zero behind the end.
    pub fn byte(self, index: usize) -> u8 {
        // SAFETY: inside
        if index < self.count { unsafe { *self.at.add(index) } } else { 0 }
    }

    /// Those behind the first `count`.
    pub fn behind(self, count: usize) -> Self {
        let count = count.min(self.count);
        // SAFETY: inside, or the end
        Self { at: unsafe { self.at.add(count) }, count: self.count - count }
    }

    /// The first `count`.
    pub fn first(self, count: usize) -> Self {
        Self { at: self.at, count: count.min(self.count) }
    }

    /// Whether they begin so.
    pub fn starts_with(self, other: Self) -> bool {
        let mut index = 0;
        // SAFETY: inside of both
        while index < other.count && index < self.count && unsafe { *self.at.add(index) == *other.at.add(index) } {
            index += 1;
        }
        index == other.count
    }

    /// Whether they end so.
    pub fn ends_with(self, other: Self) -> bool {
        self.count >= other.count && self.behind(self.count - other.count).starts_with(other)
    }

    /// Where others are first found in them.
    pub fn find(self, other: Self) -> Option<usize> {
        let mut index = 0;
        while index + other.count <= self.count {
            // most places are passed over by their first byte
            if self.byte(index) == other.byte(0) && self.behind(index).starts_with(other) {
                return Some(index);
            }
            index += 1;
        }
        None
    }

    /// Where a byte is first found in them; their count if it is not.
    pub fn position(self, byte: u8) -> usize {
        let mut index = 0;
        // SAFETY: inside
        while index < self.count && unsafe { *self.at.add(index) } != byte {
            index += 1;
        }
        index
    }

    /// Where a byte is last found in them.
    pub fn last_position(self, byte: u8) -> Option<usize> {
        let mut index = self.count;
        while index > 0 {
            index -= 1;
            if self.byte(index) == byte {
                return Some(index);
            }
        }
        None
    }
}

/// The memory. One string at a time is put together.
pub struct Heap {
    /// Where the string begins that is put together.
    begin: *mut u8,
    /// Where its next byte goes.
    next: *mut u8,
    end: *mut u8,
}

impl Heap {
    /// None yet.
    pub fn new() -> Self {
        Self { begin: core::ptr::null_mut(), next: core::ptr::null_mut(), end: core::ptr::null_mut() }
    }

    /// That memory, which is there anyway; the kernel is asked for more when it is full.
    ///
    /// # Safety
    /// It lives as long as all that is put together in it.
    pub unsafe fn over(room: &mut [MaybeUninit<u8>]) -> Self {
        let begin = room.as_mut_ptr().cast::<u8>();
        // SAFETY: its end
        Self { begin, next: begin, end: unsafe { begin.add(room.len()) } }
    }

    /// How much of the string there is.
    fn count(&self) -> usize {
        self.next as usize - self.begin as usize
    }

    /// Makes room for so many more bytes of the string.
    fn reserve(&mut self, bytes: usize) {
        if self.end as usize - self.next as usize >= bytes {
            return;
        }
        let count = self.count();
        let size = (count + bytes).saturating_mul(2).max(CHUNK_BYTES);
        let Some(place) = sys::map(0, size, sys::READ | sys::WRITE, sys::PRIVATE_MEMORY, None) else {
            say("nopal: out of memory");
            give_up()
        };
        let place = place as *mut u8;
        // SAFETY: the new memory is larger than what there is of the string
        unsafe {
            copy(place, self.begin, count);
            self.begin = place;
            self.next = place.add(count);
            self.end = place.add(size);
        }
    }

    /// Adds bytes to the string.
    pub fn push(&mut self, bytes: Bytes) {
        self.reserve(bytes.count);
        // SAFETY: there is room
        unsafe {
            copy(self.next, bytes.at, bytes.count);
            self.next = self.next.add(bytes.count);
        }
    }

    /// Ends the string with a zero, which is not counted, and begins another.
    pub fn finish(&mut self) -> Bytes {
        let count = self.count();
        self.push(Bytes::of(b"\0"));
        let string = Bytes { at: self.begin, count };
        self.begin = self.next;
        string
    }

    /// Adds a number to the string, in decimal digits.
    pub fn push_number(&mut self, number: usize) {
        if number > 9 {
            self.push_number(number / 10);
        }
        let digit = b'0' + (number % 10) as u8;
        self.push(Bytes { at: &digit, count: 1 });
    }

    /// Gives back the room of the string that was ended last, if nothing was added since.
    pub fn forget(&mut self, string: Bytes) {
        // SAFETY: inside, or the end
        if self.begin == self.next && unsafe { string.at.add(string.count + 1) } == self.next.cast_const() {
            self.begin = string.at.cast_mut();
            self.next = self.begin;
        }
    }

    /// Room for a table of pointers, while no string is put together.
    fn table(&mut self, count: usize) -> *mut *const u8 {
        let align = align_of::<*const u8>();
        let bytes = count * size_of::<*const u8>();
        self.reserve(bytes + align);
        let table = (self.next as usize).next_multiple_of(align) as *mut u8;
        // SAFETY: there is room
        self.next = unsafe { table.add(bytes) };
        self.begin = self.next;
        table.cast()
    }

    /// Reads a file up to its end, while no string is put together. The error's number if that cannot be done.
    pub fn read(&mut self, file: sys::File) -> Result<Bytes, isize> {
        loop {
            let room = self.room();
            let count = sys::read(file, room);
            if count < 0 {
                return Err(-count);
            }
            let is_all = (count as usize) < room.len();
            // SAFETY: that many were read
            self.next = unsafe { self.next.add(count as usize) };
            if is_all {
                return Ok(self.finish());
            }
        }
    }

    /// Reads where a link leads to, while no string is put together. Nothing if it is none.
    ///
    /// # Safety
    /// A zero ends the path.
    pub unsafe fn read_link(&mut self, path: *const u8) -> Option<Bytes> {
        loop {
            let room = self.room();
            // SAFETY: as the caller says
            let count = unsafe { sys::read_link(path, room) };
            if count <= 0 {
                return None;
            }
            if (count as usize) < room.len() {
                // SAFETY: that many were read
                self.next = unsafe { self.next.add(count as usize) };
                return Some(self.finish());
            }
            let more = room.len() + 1;
            self.reserve(more);
        }
    }

    /// What there is room for.
    fn room(&mut self) -> &mut [u8] {
        /// More than most links, and files that are read.
        const LEAST_BYTES: usize = 1 << 10;
        self.reserve(LEAST_BYTES);
        // SAFETY: there is room
        unsafe { core::slice::from_raw_parts_mut(self.next, self.end as usize - self.next as usize) }
    }
}

/// Pointers to strings, and a null behind the last.
pub struct Table {
    at: *mut *const u8,
    count: usize,
    room: usize,
}

impl Table {
    /// An empty one, with room for so many.
    pub fn new(heap: &mut Heap, room: usize) -> Self {
        Self { at: heap.table(room + 1), count: 0, room }
    }

    /// A copy of so many pointers, with room for more.
    ///
    /// # Safety
    /// There are that many.
    pub unsafe fn copy(heap: &mut Heap, pointers: *const *const u8, count: usize, more: usize) -> Self {
        let table = Self { count, ..Self::new(heap, count + more) };
        // SAFETY: there is room, and the caller counted
        unsafe { copy(table.at.cast(), pointers.cast(), count * size_of::<*const u8>()) };
        table
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The string at an index that there is.
    pub fn get(&self, index: usize) -> *const u8 {
        // SAFETY: the caller counts
        unsafe { *self.at.add(index) }
    }

    /// Replaces the one at an index that there is.
    pub fn set(&mut self, index: usize, string: *const u8) {
        // SAFETY: the caller counts
        unsafe { *self.at.add(index) = string };
    }

    /// Keeps the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.count = self.count.min(count);
    }

    /// Adds one, while no string is put together.
    pub fn push(&mut self, heap: &mut Heap, string: *const u8) {
        if self.count == self.room {
            // SAFETY: there are that many
            *self = unsafe { Self::copy(heap, self.at, self.count, self.room + 16) };
        }
        self.count += 1;
        self.set(self.count - 1, string);
    }

    /// The pointers, with a null behind them.
    pub fn finish(&mut self) -> *const *const u8 {
        // SAFETY: there is room for one more than there may be
        unsafe { *self.at.add(self.count) = core::ptr::null() };
        self.at
    }
}
