//! A limit on the memory that evaluation takes: values, local variables and the native stack together.
//!
//! Evaluation compares the native stack's height with an address at every step anyway. The more memory values take, the
//! higher that address is set; when even a collection leaves too much, it is set so high that the next step fails.
//! Likewise when the addresses are used up that values may have ([`super::chunk::ADDRESSES`]).

use super::chunk::ADDRESSES;
use super::heap::Heap;

/// Evaluation ends when values can have no more than this: what is under way takes some still, and free lines may be too few
/// in a row.
const SPARE_BYTES: usize = 1 << 30;

pub(super) struct Limit {
    /// The most memory, in bytes.
    max_bytes: usize,
    /// Where the native stack begins; it grows down.
    stack_begin: usize,
    /// Below this address the native stack must never grow.
    stack_end: usize,
    /// Below this address it must not grow now.
    stack_limit: usize,
    exceeded: bool,
}

impl Limit {
    pub(super) fn new(max_bytes: Option<usize>) -> Limit {
        let stack_end = crate::native_stack::limit();
        let marker = 0u8;
        let here = &raw const marker as usize;
        let mut limit = Limit {
            max_bytes: max_bytes.unwrap_or(usize::MAX),
            stack_begin: crate::native_stack::begin().unwrap_or(here),
            stack_end,
            stack_limit: stack_end,
            exceeded: false,
        };
        limit.set(0);
        limit
    }

    /// The most memory that values and stack may take together, in bytes.
    pub(super) fn max_bytes(&self) -> Option<usize> {
        (self.max_bytes != usize::MAX).then_some(self.max_bytes)
    }

    /// Lets the next step fail.
    pub(super) fn refuse(&mut self) {
        self.stack_limit = usize::MAX;
    }

    /// Lets the stack have what values leave.
    fn set(&mut self, value_bytes: usize) {
        let left = self.max_bytes.saturating_sub(value_bytes);
        self.exceeded = left == 0;
        self.stack_limit = self.stack_begin.saturating_sub(left).max(self.stack_end);
    }
}

impl Heap {
    /// The address below which the native stack must not grow.
    #[inline(always)]
    pub(crate) fn stack_limit(&self) -> usize {
        self.limit.stack_limit
    }

    /// The limit in bytes, if it is why the stack must not grow.
    pub(crate) fn exceeded_limit(&self) -> Option<usize> {
        let limit = &self.limit;
        (limit.exceeded || limit.stack_limit > limit.stack_end).then_some(limit.max_bytes.min(ADDRESSES.len()))
    }

    /// Whether values may take so many more bytes.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.world.space().room_bytes() >= SPARE_BYTES.saturating_add(bytes)
    }

    /// The limit in bytes that was set.
    pub(crate) fn memory_limit(&self) -> Option<usize> {
        self.limit.max_bytes()
    }

    /// Whether they may, if need be after a collection.
    pub(crate) fn make_room(&mut self, bytes: usize) -> bool {
        let has_room = |heap: &Self| bytes <= heap.limit.max_bytes && heap.has_room(bytes);
        if !has_room(self) && !self.is_held() {
            self.collect();
        }
        has_room(self)
    }

    /// Called before `bytes` are taken.
    pub(super) fn keep_to_limit(&mut self, bytes: usize) {
        let mut has_room = self.has_room(bytes);
        if self.limit.max_bytes == usize::MAX && has_room && !self.limit.exceeded {
            return;
        }
        let local_bytes = self.stack.used_bytes();
        let in_use = |heap: &Heap| {
            let space = heap.world.space();
            space.live_bytes() + space.filled_bytes() + local_bytes + bytes
        };
        // not again for every little that is allocated when most of it is live
        let filled_bytes = self.world.space().filled_bytes();
        let is_worth = |bytes: usize| filled_bytes >= bytes / 8;
        if in_use(self) > self.limit.max_bytes && is_worth(self.limit.max_bytes) || !has_room && is_worth(SPARE_BYTES) {
            self.collect();
            has_room = self.has_room(bytes);
        }
        let now = if has_room { in_use(self) } else { self.limit.max_bytes };
        self.limit.set(now);
    }

    /// After an evaluation ended at the limit: makes room for the next one.
    pub(crate) fn recover(&mut self) {
        if self.limit.exceeded {
            self.collect();
            self.keep_to_limit(0);
        }
    }
}
