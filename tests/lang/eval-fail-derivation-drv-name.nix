# features ca-derivations dynamic-derivations
(derivation { name = "a.drv"; system = "x"; builder = "b"; __contentAddressed = true; }).outPath
