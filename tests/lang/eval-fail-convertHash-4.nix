builtins.convertHash { hash = "e3b0"; toHashFormat = "sri"; hashAlgo = "sha256"; }
