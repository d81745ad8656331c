[
  (builtins.foldl' (a: b: a + b) 0 [ 1 2 3 ])
  (builtins.foldl' (a: b: b) (throw "x") [ 1 2 3 ])
  (builtins.elem 1 [ 1.0 ])
  (builtins.elem (x: x) [ (x: x) ])
  (builtins.elem { a = 1; } [ { a = 1; } ])
  (builtins.elem (throw "x") [ ])
  (builtins.concatMap (x: [ x x ]) [ 1 2 ])
  (builtins.partition (x: x > 1) [ 1 2 3 ])
  (builtins.groupBy (x: if x > 1 then "big" else "small") [ 1 2 3 ])
  (builtins.genList (x: x * x) 5)
]
