# A large set to which small ones are added.
let
  names = builtins.genList (i: "name${toString i}") 2000;
  large = builtins.listToAttrs (map (name: { inherit name; value = name; }) names);
in
builtins.length (builtins.attrNames (builtins.foldl' (set: i: set // { "added${toString i}" = i; }) large (builtins.genList (i: i) 3000)))
