let
  list = [ list ];
in
builtins.trace list (builtins.substring 0 1 list)
