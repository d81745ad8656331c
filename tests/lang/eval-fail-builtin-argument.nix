let
  f = x: throw "no list of ${x}";
in
builtins.length (f "things")
