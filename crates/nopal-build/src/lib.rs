//! The rootless sandbox and the scheduler of builds.
