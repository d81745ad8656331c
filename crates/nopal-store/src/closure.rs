//! Closures.

/// Which way a closure goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To what paths refer to.
    References,
    /// To what refers to the paths.
    Referrers,
}
