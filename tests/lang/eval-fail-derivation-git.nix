(derivation { name = "a"; system = "x"; builder = "b"; outputHashMode = "git"; }).outPath
