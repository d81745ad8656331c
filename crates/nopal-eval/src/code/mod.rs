//! Code: the intermediate form and the compiler that makes it from a syntax tree.

pub(crate) mod compile;
pub(crate) mod ir;
pub(crate) mod observed;
mod sets;
mod switch;
