//! Values held outside the heap across an evaluation.
//!
//! A value in a local variable is found by the collector; one in a `Vec`, a map or a box is not. [`RootVec`] is a vector
//! whose buffer the collector knows.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use super::word::Value;

thread_local! {
    /// The buffers of all root vectors of this thread: address and bytes, in no order.
    static BUFFERS: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

/// Calls `visit` with the words of some buffers of root vectors, whose thread is this one or stands still.
pub(super) fn for_each_range(buffers: &[(usize, usize)], mut visit: impl FnMut(&[usize])) {
    for (address, bytes) in buffers {
        // SAFETY: the buffer is registered as long as it lives; its first `len` elements are initialised (see
        // `RootVec::publish`), and any bytes are valid as words.
        visit(unsafe { std::slice::from_raw_parts(*address as *const usize, bytes / 8) });
    }
}

/// The buffers of all root vectors of this thread.
pub(super) fn buffers() -> Vec<(usize, usize)> {
    BUFFERS.with_borrow(Vec::clone)
}

/// A growable vector of values, or of tuples with values in them, that the collector knows.
pub struct RootVec<T: Copy> {
    items: Vec<T>,
    /// Address of the buffer that is registered; zero if there is none.
    registered: usize,
}

/// Values held outside the heap across an evaluation.
pub type ValueVec = RootVec<Value>;

impl<T: Copy> RootVec<T> {
    /// The elements are read as words.
    const WHOLE_WORDS: () = assert!(size_of::<T>() > 0 && size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8);

    /// An empty vector.
    pub fn new() -> RootVec<T> {
        RootVec { items: Vec::new(), registered: 0 }
    }

    /// An empty vector with room for `capacity` elements.
    pub fn with_capacity(capacity: usize) -> RootVec<T> {
        let mut vec = RootVec { items: Vec::with_capacity(capacity), registered: 0 };
        vec.publish();
        vec
    }

    /// Appends an element.
    #[inline]
    pub fn push(&mut self, item: T) {
        if self.items.len() == self.items.capacity() {
            self.reserve(1);
        }
        self.items.push(item);
    }

    /// Removes and returns the last element.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop()
    }

    /// Appends all of `items`.
    pub fn extend_from_slice(&mut self, items: &[T]) {
        self.reserve(items.len());
        self.items.extend_from_slice(items);
    }

    /// Shortens the vector to `len` elements.
    pub fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
    }

    /// Keeps the first of neighbours with equal keys.
    pub(crate) fn dedup_by_key<K: PartialEq>(&mut self, key: impl FnMut(&mut T) -> K) {
        self.items.dedup_by_key(key);
    }

    #[cold]
    fn reserve(&mut self, more: usize) {
        self.withdraw();
        self.items.reserve(more);
        self.publish();
    }

    /// Registers the whole buffer; what is not used yet is cleared, so that it can be read.
    fn publish(&mut self) {
        let () = Self::WHOLE_WORDS;
        if self.items.capacity() == 0 {
            return;
        }
        let spare = self.items.spare_capacity_mut();
        // SAFETY: any bytes may be written to memory that is not initialised.
        unsafe { std::ptr::write_bytes(spare.as_mut_ptr(), 0, spare.len()) };
        self.registered = self.items.as_ptr() as usize;
        let bytes = self.items.capacity() * size_of::<T>();
        BUFFERS.with_borrow_mut(|buffers| buffers.push((self.registered, bytes)));
    }

    fn withdraw(&mut self) {
        if self.registered == 0 {
            return;
        }
        // Mostly the youngest goes first. When the thread ends, the list may be gone already.
        let _ = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.borrow_mut();
            if let Some(at) = buffers.iter().rposition(|(address, _)| *address == self.registered) {
                buffers.swap_remove(at);
            }
        });
        self.registered = 0;
    }
}

impl<T: Copy> Drop for RootVec<T> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl<T: Copy> Default for RootVec<T> {
    fn default() -> RootVec<T> {
        RootVec::new()
    }
}

impl<T: Copy> Clone for RootVec<T> {
    fn clone(&self) -> RootVec<T> {
        self.iter().copied().collect()
    }
}

impl<T: Copy + std::fmt::Debug> std::fmt::Debug for RootVec<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.items).finish()
    }
}

impl<T: Copy> Deref for RootVec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T: Copy> DerefMut for RootVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<T: Copy> Extend<T> for RootVec<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T: Copy> FromIterator<T> for RootVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> RootVec<T> {
        let items = items.into_iter();
        let mut vec = RootVec::with_capacity(items.size_hint().0);
        vec.extend(items);
        vec
    }
}
