# two variables that hold one list are two places: neither repeats the other, whenever memory is collected
let
  aaCell = bbCell;
  bbCell = builtins.genList (x: x) 2;
  fill = builtins.foldl' (sum: n: sum + builtins.length [ n ]) 0 (builtins.genList (x: x) 200);
in
builtins.seq aaCell (builtins.seq fill [ aaCell bbCell ])
