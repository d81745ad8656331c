//! Other package universes as Nix packages: Debian.

pub mod debian;
