# Attributes are forced in the order of their symbols, and those of builtins are in the order of Nix's builtins.
builtins.deepSeq {
  toString = throw "toString";
  splitVersion = throw "splitVersion";
  map = throw "map";
  seq = throw "seq";
  fromTOML = throw "fromTOML";
} null
