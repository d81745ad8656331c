//! The only user of std::fs: errors carry paths; atomic replace, locks, canonical tree walk.
