# Derivations that depend on each other, hashed but not written.
let
  one = i: derivation {
    name = "package-${toString i}";
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "echo ${toString i} > $out" ];
    outputs = [ "out" "dev" ];
    flags = "-O2 -g";
    previous = if i == 0 then null else builtins.elemAt all (i - 1);
  };
  all = builtins.genList one 3000;
in
builtins.foldl' (sum: drv: sum + builtins.stringLength drv.drvPath) 0 all
