# Names that only `with` can bind, and sets whose attributes refer to each other.
let
  library = builtins.listToAttrs (builtins.genList (i: { name = "f${toString i}"; value = x: x + i; }) 500) // { one = 1; };
  make = i: with library; rec {
    a = f1 i;
    b = f20 a + one;
    c = f300 b + (with { one = 2; }; one + a);
  };
in
builtins.foldl' (sum: i: sum + (make i).c) 0 (builtins.genList (i: i) 60000)
