//! The codes by which nopal and the stubs understand each other. `nopal-relocate` includes this file.

#![allow(unreachable_pub, reason = "the stubs are crates of their own")]

/// What wrappers' data begin with.
pub const WRAP_MAGIC: [u8; 8] = *b"\x01wrap\x02\x01\n";
/// What packed data begin with.
pub const PACK_MAGIC: [u8; 8] = *b"\x01pack\x01\x01\n";
/// Blocks of packed files have no more bytes than this.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Bits of properties of a wrapper.
pub mod property {
    #![allow(missing_docs)]
    pub const RESOLVES_NAME: u8 = 1;
    /// The launcher has to know where it is.
    pub const IS_RELATIVE: u8 = 2;
}

/// Codes of steps.
pub mod step {
    #![allow(missing_docs)]
    pub const END: u8 = 0;
    pub const SET: u8 = 1;
    pub const SET_DEFAULT: u8 = 2;
    pub const UNSET: u8 = 3;
    pub const PREFIX: u8 = 4;
    pub const SUFFIX: u8 = 5;
    pub const LAST: u8 = 6;
    pub const CHANGE_DIRECTORY: u8 = 7;
    pub const SKIP_IF_THERE: u8 = 8;
    pub const HOLD: u8 = 9;
    /// Likewise, also for what is executed.
    pub const PASS: u8 = 10;
}

/// Codes of pieces of texts.
pub mod piece {
    #![allow(missing_docs)]
    pub const END: u8 = 0;
    pub const LITERAL: u8 = 1;
    pub const VARIABLE: u8 = 2;
    pub const QUOTED_VARIABLE: u8 = 3;
    pub const CHOICE: u8 = 4;
    pub const BREAK: u8 = 5;
    pub const ROOT: u8 = 6;
    pub const CALLED: u8 = 7;
    pub const NAME: u8 = 8;
    pub const TARGET: u8 = 9;
}

/// Choices inside of choices.
pub const MAX_DEPTH: usize = 32;

/// Bits of a choice.
pub mod choice {
    #![allow(missing_docs)]
    pub const KEEPS_VALUE: u8 = 1;
    pub const EMPTY_IS_UNSET: u8 = 2;
    pub const IS_QUOTED: u8 = 4;
}

/// Kinds of entries of a packed tree.
pub mod entry {
    #![allow(missing_docs)]
    pub const END: u8 = 0;
    pub const FOLDER: u8 = 1;
    pub const FILE: u8 = 2;
    pub const PROGRAM: u8 = 3;
    pub const LINK: u8 = 4;
}
