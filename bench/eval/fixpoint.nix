# A package set as a fixed point with overlays, as large collections are made.
let
  base = final: builtins.listToAttrs (builtins.genList (i: {
    name = "p${toString i}";
    value = { version = i; needs = if i == 0 then [ ] else [ final."p${toString (i - 1)}" ]; };
  }) 3000);
  overlay = n: final: previous: { "p${toString (n * 50)}" = previous."p${toString (n * 50)}" // { version = 0 - n; }; };
  extend = fixed: overlay: final: let previous = fixed final; in previous // overlay final previous;
  set = builtins.foldl' extend base (builtins.genList overlay 50);
  final = set final;
in
builtins.foldl' (sum: name: sum + final.${name}.version + builtins.length final.${name}.needs) 0 (builtins.attrNames final)
