# Hashes of many short strings.
builtins.foldl' (sum: i: sum + builtins.stringLength (builtins.hashString "sha256" "string ${toString i}")) 0 (builtins.genList (i: i) 40000)
