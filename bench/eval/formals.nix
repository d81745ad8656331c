# Calls of functions that take sets apart.
let
  area = { width, height ? width, scale ? 1, ... }: width * height * scale;
  total = n: sum: if n == 0 then sum else total (n - 1) (sum + area { width = n; depth = 3; } + area { width = 2; height = n; });
  rounds = builtins.genList (i: total 4000 i) 25;
in
builtins.foldl' (a: b: a + b) 0 rounds
