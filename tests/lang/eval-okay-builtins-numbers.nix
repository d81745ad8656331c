[
  (builtins.ceil 1.5)
  (builtins.ceil (-1.5))
  (builtins.floor (-0.5))
  (builtins.div 7 (-2))
  (builtins.div 1.0 3)
  (builtins.lessThan [ 1 2 ] [ 1 3 ])
  (builtins.lessThan 1 1.5)
  (builtins.lessThan /a /b)
]
