//! The value stack: local variables of the code being evaluated.
//!
//! One region of address space is reserved; pages are committed as they are touched. A frame is a base pointer and a
//! number of slots known when the code was compiled. The collector scans it exactly.

use std::mem::ManuallyDrop;
use std::ops::Range;

use super::word::{Slot, Value};
use crate::code::ir::Ref;

/// Slots in the region: 1 Gi slots of address space (4 GiB), or less where that much cannot be reserved.
const PREFERRED_SLOTS: usize = 1 << 30;

/// The fewest slots worth starting with.
const MINIMUM_SLOTS: usize = 1 << 16;

/// The value stack.
pub(crate) struct Stack {
    begin: *mut Slot,
    /// The first slot that is not in use.
    top: *mut Slot,
    end: *mut Slot,
}

/// How much of the stack is in use; see [`Stack::reset`].
#[derive(Clone, Copy)]
pub(crate) struct Height(*mut Slot);

/// The base of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Frame(*mut Slot);

impl Frame {
    /// The value of a slot.
    #[inline(always)]
    pub(crate) fn get(self, slot: u32) -> Value {
        // SAFETY: `Stack::push` reserved and cleared as many slots as the code that is running was compiled with, and
        // the compiler hands out slot numbers below that.
        unsafe { *self.0.add(slot as usize) }.value()
    }

    /// Sets a slot.
    #[inline(always)]
    pub(crate) fn set(self, slot: u32, value: Value) {
        // SAFETY: as for `get`.
        unsafe { *self.0.add(slot as usize) = Slot::of(value) };
    }

    /// Its first slots as captured words.
    pub(crate) fn as_captures(self) -> Captures {
        Captures(self.0)
    }

    /// The frame behind its first `slots` slots, of which it has as many.
    pub(crate) fn behind(self, slots: u32) -> Frame {
        // SAFETY: `Stack::push` reserved these slots.
        Frame(unsafe { self.0.add(slots as usize) })
    }
}

/// The values that a closure or thunk captured.
#[derive(Clone, Copy)]
pub(crate) struct Captures(*const Slot);

impl Captures {
    /// No captured words.
    pub(crate) const NONE: Captures = Captures(std::ptr::null());

    /// The captured word with this number.
    #[inline(always)]
    pub(crate) fn get(self, index: u32) -> Value {
        // SAFETY: the pointer was made from the object whose code is running; the compiler numbers captured words below
        // the number that is stored in the object, and the object lives as long as the process.
        unsafe { *self.0.add(index as usize) }.value()
    }
}

/// The value of a variable of running code. Both kinds are read by the same load.
#[inline(always)]
pub(crate) fn variable(frame: Frame, captures: Captures, from: Ref) -> Value {
    let (base, index) = match from {
        Ref::Local(slot) => (frame.0.cast_const(), slot),
        Ref::Captured(index) => (captures.0, index),
    };
    // SAFETY: as for `Frame::get` and `Captures::get`.
    unsafe { *base.add(index as usize) }.value()
}

impl Value {
    /// The captured words of a thunk (in whatever state) or a closure.
    #[inline(always)]
    pub(crate) fn captures(self) -> Captures {
        debug_assert!(self.is_object());
        Captures(self.slots())
    }
}

impl Stack {
    /// Reserves the region.
    pub(crate) fn new() -> Stack {
        let mut slots = PREFERRED_SLOTS;
        loop {
            let mut region: Vec<Slot> = Vec::new();
            if region.try_reserve_exact(slots).is_ok() || slots <= MINIMUM_SLOTS {
                region.reserve_exact(MINIMUM_SLOTS);
                let mut region = ManuallyDrop::new(region);
                let Range { start, end } = region.spare_capacity_mut().as_mut_ptr_range();
                return Stack { begin: start.cast(), top: start.cast(), end: end.cast() };
            }
            slots /= 4;
        }
    }

    /// A frame of `slots` null values, or `None` when the region is full. Give it back with [`Stack::reset`].
    #[inline(always)]
    pub(crate) fn push(&mut self, slots: u32) -> Option<Frame> {
        let frame = self.top;
        let top = frame.wrapping_add(slots as usize);
        if top > self.end {
            return None;
        }
        let mut slot = frame;
        while slot < top {
            // Volatile keeps the compiler from preparing for many: most frames have less than four slots.
            // SAFETY: the slots from `top` to `end` are in the region, and nobody else uses them.
            unsafe {
                slot.write_volatile(Slot::NULL);
                slot = slot.add(1);
            }
        }
        self.top = top;
        Some(Frame(frame))
    }

    /// The height of the stack, to be given to [`Stack::reset`].
    #[inline(always)]
    pub(crate) fn height(&self) -> Height {
        Height(self.top)
    }

    /// Bytes in use.
    pub(super) fn used_bytes(&self) -> usize {
        self.top as usize - self.begin as usize
    }

    /// The slots in use: address and number.
    pub(super) fn range(&self) -> (usize, usize) {
        (self.begin as usize, self.used_bytes() / size_of::<Slot>())
    }

    /// Drops all frames above `height`.
    #[inline(always)]
    pub(crate) fn reset(&mut self, height: Height) {
        debug_assert!(height.0 <= self.top);
        self.top = height.0;
    }
}
