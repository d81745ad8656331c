# features ca-derivations impure-derivations dynamic-derivations
let
  floating = derivation { name = "a"; system = "x"; builder = "b"; __contentAddressed = true; outputs = [ "out" "dev" ]; };
  deferred = derivation { name = "b"; system = "x"; builder = "b"; outputs = [ "lib" ]; x = floating.dev; };
  impure = derivation { name = "c"; system = "x"; builder = "b"; __impure = true; outputHashAlgo = "sha1"; x = deferred; };
  text = derivation { name = "d.drv"; system = "x"; builder = "b"; __contentAddressed = true; outputHashMode = "text"; x = impure; };
  fixed = derivation { name = "e"; system = "x"; builder = "b"; outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; x = text; };
  show = d: [ d.drvPath (map (o: o.outPath) d.all) (builtins.attrValues (builtins.getContext d.outPath)) ];
in
map show [ floating deferred impure text fixed ]
