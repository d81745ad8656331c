//! Downloads: the only HTTP client, with resumption, hash checks and mirrors.
