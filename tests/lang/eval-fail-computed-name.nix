# A function is called as the attribute whose name was computed last, and so is the function that it returns.
let
  make = name: { ${name} = a: b: a; };
  first = make "one";
in
builtins.seq first (builtins.seq (make "two") (toString (first.one 1)))
