(derivation { name = "a"; system = "x"; builder = "b"; outputHashMode = "text"; }).outPath
