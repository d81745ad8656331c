let
  f = a: b: { c }: a + b + c + missing.x;
  missing = { };
in
f 1 2 { c = 3; }
