let x = [ x ]; in (y: builtins.foldl' y 1 [ 1 ]) x
