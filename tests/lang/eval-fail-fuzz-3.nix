builtins.convertHash { hash = "sha256-short"; toHashFormat = "sri"; }
