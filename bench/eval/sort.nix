# Sorting numbers in an order that looks random, and strings.
let
  scramble = n: let m = n * 7919 + 104729; in m - m / 65537 * 65537;
  numbers = builtins.sort builtins.lessThan (builtins.genList scramble 60000);
  strings = builtins.sort (a: b: a < b) (builtins.genList (i: "string${toString (scramble i)}") 40000);
in
builtins.length numbers + builtins.stringLength (builtins.concatStringsSep "," strings)
