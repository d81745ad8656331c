//! Whether the stack is executable.

use super::Editor;
use crate::raw::{PF_R, PF_W, PF_X, PT_GNU_STACK, PT_NULL, Segment};

/// What a file asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecStack {
    /// An executable stack.
    Yes,
    /// One that is not.
    No,
    /// Nothing: what the kernel makes of that depends on the architecture.
    Unsaid,
}

impl Editor<'_> {
    /// Whether the file asks for an executable stack.
    pub fn exec_stack(&self) -> ExecStack {
        match self.segments.iter().find(|segment| segment.kind == PT_GNU_STACK) {
            Some(segment) if segment.flags & PF_X != 0 => ExecStack::Yes,
            Some(_) => ExecStack::No,
            None => ExecStack::Unsaid,
        }
    }

    /// Makes the file ask for an executable stack, or for one that is not.
    pub fn set_exec_stack(&mut self, executable: bool) {
        let flag = if executable { PF_X } else { 0 };
        let made = Segment { kind: PT_GNU_STACK, flags: PF_R | PF_W | flag, align: 1, ..Segment::default() };
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.kind == PT_GNU_STACK) {
            let flags = segment.flags & !PF_X | flag;
            self.segments_changed |= segment.flags != flags;
            segment.flags = flags;
            return;
        }
        self.segments_changed = true;
        match self.segments.iter_mut().find(|segment| segment.kind == PT_NULL) {
            Some(segment) => *segment = made,
            None => self.segments.push(made),
        }
    }
}
