builtins.tryEval (builtins.abort "x")
