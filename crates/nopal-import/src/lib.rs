//! Other package universes as Nix packages: Debian.
