# A string that grows by a few bytes at a time.
builtins.stringLength (builtins.foldl' (text: i: text + "line ${toString i}\n") "" (builtins.genList (i: i) 4000))
