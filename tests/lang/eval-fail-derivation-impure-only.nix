# features impure-derivations
(derivation { name = "a"; system = "x"; builder = "b"; __impure = true; }).outPath
