builtins.addDrvOutputDependencies (builtins.toFile "x" "y")
