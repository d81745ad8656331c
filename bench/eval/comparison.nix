# Equality of nested values, and the places of elements.
let
  value = i: { name = "package"; tags = [ "a" "b" (toString (i - i / 7 * 7)) ]; options = { deep = { deeper = [ i ]; }; }; };
  values = builtins.genList value 1500;
  equal = builtins.filter (v: v == value 1499) values;
  words = builtins.genList (i: "word${toString i}") 400;
  found = builtins.filter (i: builtins.elem "word${toString i}" words) (builtins.genList (i: i * 2) 800);
in
builtins.length (builtins.filter (v: builtins.elem v values) values) + builtins.length equal + builtins.length found
