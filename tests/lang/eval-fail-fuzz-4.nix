builtins.convertHash { hash = "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3h*uFU="; toHashFormat = "sri"; }
