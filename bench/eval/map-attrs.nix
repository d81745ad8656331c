# Functions over the attributes of sets.
let
  set = builtins.listToAttrs (builtins.genList (i: { name = "attribute${toString i}"; value = i; }) 5000);
  rounds = builtins.genList (i: builtins.mapAttrs (name: value: value + i) set) 40;
in
builtins.foldl' (sum: round: sum + builtins.foldl' (a: b: a + b) 0 (builtins.attrValues round)) 0 rounds
