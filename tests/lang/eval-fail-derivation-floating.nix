(derivation { name = "a"; system = "x"; builder = "b"; __contentAddressed = true; }).outPath
