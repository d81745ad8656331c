builtins.addDrvOutputDependencies (derivation { name = "n"; builder = "b"; system = "s"; }).outPath
