# a set that no literal made has no position
builtins.concatMap (x: builtins.mapAttrs (n: v: v) { a = x; }) [ 1 ]
