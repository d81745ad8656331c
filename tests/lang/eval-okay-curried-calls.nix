# Functions that return functions, called with fewer, as many and more arguments.
let
  three = a: b: c: [ a b c ];
  pattern = a: { b, c ? a + b, ... }@all: d: [ a b c d (builtins.attrNames all) ];
  picks = a: if a then (b: c: b) else (b: c: c);
  nested = a: b: let f = c: d: a + b + c + d; in f;
  ignores = _: b: _: b;
  functor = { __functor = self: a: b: a - b + self.more; more = 100; };
  lazy = a: b: c: if c then a else b;
  record = a: b: { inherit a b; f = x: a + b + x; };
  same = f: f == f;
  fns = [ (three 1) ];
in
[
  (three 1 2 3)
  (map (three 1 2) [ 3 4 ])
  (pattern 1 { b = 2; } 3)
  (pattern 1 { b = 2; c = 5; e = 6; } 3)
  (picks true 1 2)
  (picks false 1 2)
  (nested 1 2 3 4)
  (ignores (throw "not needed") 2 (throw "not needed"))
  (functor 5 3)
  (lazy 1 (throw "not needed") true)
  ((record 1 2).f 3)
  (builtins.foldl' (a: b: a * 2 + b) 1 [ 1 0 1 ])
  ((builtins.mapAttrs (name: value: extra: name + value + extra) { x = "1"; }).x "!")
  (fns == fns)
  (same { f = three; })
  (builtins.isFunction (three 1 2))
]
