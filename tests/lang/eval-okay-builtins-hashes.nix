[
  (builtins.hashString "md5" "x")
  (builtins.hashString "sha1" "x")
  (builtins.hashString "sha512" "x")
  (builtins.convertHash { hash = "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; toHashFormat = "base16"; })
  (builtins.convertHash { hash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; toHashFormat = "nix32"; })
  (builtins.convertHash { hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; toHashFormat = "sri"; hashAlgo = "sha256"; })
  (builtins.convertHash { hash = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"; toHashFormat = "base64"; hashAlgo = "sha256"; })
  (builtins.hashString "sha256" (builtins.toFile "x" "y"))
]
