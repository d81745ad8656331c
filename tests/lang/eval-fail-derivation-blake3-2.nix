(derivation { name = "f"; builder = "a"; system = "b"; outputHash = "blake3-rxNJubgPyWq2lM1uH6CZGaWJ3bqtHDTqQYRDkAEhG5M="; }).outPath
