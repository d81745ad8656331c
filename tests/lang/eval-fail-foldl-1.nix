builtins.foldl' (a: b: a) (throw "x") [ ]
