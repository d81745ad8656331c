builtins.listToAttrs [ { name = "b"; } { name = "a"; } ]
