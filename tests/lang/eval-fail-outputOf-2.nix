# features dynamic-derivations
builtins.outputOf (derivation { name = "a"; system = "x"; builder = "b"; }).drvPath "out"
