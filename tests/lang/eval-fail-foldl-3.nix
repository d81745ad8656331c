builtins.foldl' (a: b: throw "e${toString b}") 0 [ 1 2 ]
