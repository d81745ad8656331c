# Lists: generated, mapped, filtered, joined, folded.
let
  numbers = builtins.genList (i: i) 200000;
  even = builtins.filter (n: n / 2 * 2 == n) (map (n: n * 3) numbers);
in
builtins.foldl' (a: b: a + b) 0 (even ++ builtins.concatLists [ even numbers ] ++ builtins.concatMap (n: [ n n ]) even)
