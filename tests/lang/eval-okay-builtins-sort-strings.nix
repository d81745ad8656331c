[
  (builtins.sort builtins.lessThan [ "b" "abcdefgi" "abcdefgh" "abcdefghi" "" "a" "abcdefghh" "abcdefg" "é" "~" ])
  (builtins.sort builtins.lessThan [ 3 (-1) 2 9223372036854775807 (-9223372036854775807) 0 ])
  (builtins.sort (a: b: a.k < b.k) (builtins.genList (i: { k = i - i / 7 * 7; inherit i; }) 40))
  (builtins.toJSON [ 1.0e23 5.0e-300 0.1 123456789012345680.0 ])
]
