builtins.convertHash { toHashFormat = "base64"; }
