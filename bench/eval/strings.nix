# Strings: interpolated, joined, cut, replaced.
let
  words = builtins.genList (i: "word-${toString i}/${toString (i * i)}") 30000;
  text = builtins.concatStringsSep " " words;
in
builtins.stringLength (builtins.replaceStrings [ "word" "/" ] [ "w" "::" ] text)
+ builtins.foldl' (sum: word: sum + builtins.stringLength (builtins.substring 2 5 word)) 0 words
