[
  (builtins.sort (a: b: true) [ 3 1 2 ])
  (builtins.sort (a: b: false) [ 3 1 2 ])
  (builtins.sort builtins.lessThan [ 3 1.5 2 ])
  (builtins.sort builtins.lessThan [ "b" "a" ])
  (builtins.sort builtins.lessThan [ [ 2 1 ] [ 1 5 ] [ ] ])
  (builtins.sort builtins.lessThan [ { } ])
  (builtins.sort (a: b: a < b) (builtins.genList (x: (x * 7919) - (x * 7919 / 100) * 100) 60))
  (builtins.sort (a: b: builtins.bitAnd (a + b) 1 == 0) (builtins.genList (x: (x * 7919) - (x * 7919 / 100) * 100) 60))
  (builtins.sort (a: b: builtins.bitAnd (a * b) 2 == 0) (builtins.genList (x: (x * 31) - (x * 31 / 37) * 37) 200))
]
