# A set that grows by one attribute at a time.
let
  grown = builtins.foldl' (set: i: set // { "name${toString i}" = i; }) { } (builtins.genList (i: i) 4000);
in
builtins.length (builtins.attrNames grown)
