builtins.convertHash { hash = "blake3-rxNJubgPyWq2lM1uH6CZGaWJ3bqtHDTqQYRDkAEhG5M="; toHashFormat = "base16"; }
