# Kinds that only newer versions know (dynamic and impure derivations, git and BLAKE3 hashes).
let
  drv = name: attrs: derivation ({ inherit name; system = "x86_64-linux"; builder = "/bin/sh"; } // attrs);
  producing = drv "producing.drv" { __contentAddressed = true; outputHashMode = "text"; outputHashAlgo = "sha256"; };
in
rec {
  inherit producing;
  impure = drv "impure" { __impure = true; outputs = [ "out" "log" ]; };
  over_impure = drv "over-impure" { __impure = true; a = impure; };
  dynamic = drv "dynamic" { a = builtins.outputOf producing.outPath "out"; };
  dynamic_two = drv "dynamic-two" { a = builtins.outputOf producing.outPath "out"; b = builtins.outputOf producing.outPath "dev"; c = producing; };
  dynamic_deep = drv "dynamic-deep" { a = builtins.outputOf (builtins.outputOf producing.outPath "out") "bin"; };
  fixed_git = drv "fixed-git" { outputHashMode = "git"; outputHashAlgo = "sha1"; outputHash = "da39a3ee5e6b4b0d3255bfef95601890afd80709"; };
  fixed_git256 = drv "fixed-git256" { outputHashMode = "git"; outputHash = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="; };
  fixed_blake3 = drv "fixed-blake3" { outputHashMode = "recursive"; outputHash = builtins.hashString "blake3" "" ; outputHashAlgo = "blake3"; };
  fixed_text = drv "fixed-text" { outputHashMode = "text"; outputHashAlgo = "sha256"; outputHash = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="; };
  floating_git = drv "floating-git" { __contentAddressed = true; outputHashMode = "git"; outputHashAlgo = "sha1"; };
}
