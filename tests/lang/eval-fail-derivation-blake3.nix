(derivation { name = "f"; builder = "a"; system = "b"; outputHashAlgo = "blake3"; }).outPath
