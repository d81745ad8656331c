//! Every byte format of Nix: hashes, store paths, derivations, NAR, narinfo, signatures, references.
