# Regular expressions: whole strings and pieces.
let
  versions = builtins.genList (i: "package-${toString i}.${toString (i + 1)}.0-rc${toString (i - i / 9 * 9)}") 8000;
  parts = map (builtins.match "([a-z]+)-([0-9]+)\\.([0-9]+)\\.([0-9]+)(-rc([0-9]+))?") versions;
  pieces = map (builtins.split "[-.]") versions;
in
builtins.foldl' (sum: part: sum + builtins.length part) 0 (parts ++ pieces)
