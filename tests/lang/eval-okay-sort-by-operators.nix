# Comparators that are an operator, on what they order in one step and on what they do not.
let
  s = a: b: a < b;
  numbers = [ 3 1 2 3 (-1) 9223372036854775807 0 ];
  texts = [ "b" "a" "" "ab" "a longer text" "a longer tex" "b" ];
in
[
  (builtins.sort s numbers)
  (builtins.sort (a: b: a > b) numbers)
  (builtins.sort (a: b: b < a) numbers)
  (builtins.sort (a: b: b > a) numbers)
  (builtins.sort (a: b: a <= b) numbers)
  (builtins.sort s texts)
  (builtins.sort (a: b: a > b) texts)
  (builtins.sort s [ 2 1.5 1 ])
  (builtins.sort s [ [ 2 ] [ 1 3 ] [ 1 ] ])
  (builtins.sort (a: b: a < a) [ 2 1 3 ])
  (builtins.sort (a: b: a.n < b.n) [ { n = 2; } { n = 1; } ])
]
