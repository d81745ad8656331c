# features impure-derivations ca-derivations
(derivation { name = "a"; system = "x"; builder = "b"; __impure = true; __contentAddressed = true; }).outPath
