builtins.flakeRefToString { "a b" = { }; }
