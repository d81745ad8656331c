# Calls that nest, near the default limit of depth, again and again.
let
  count = n: if n == 0 then 0 else 1 + count (n - 1);
in
builtins.foldl' (sum: _: sum + count 9000) 0 (builtins.genList (i: i) 60)
