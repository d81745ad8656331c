let
  a = derivation { name = "a"; system = "x"; builder = "b"; };
  drv = builtins.unsafeDiscardStringContext a.drvPath;
  context = { ${drv}.outputs = [ "other" ]; };
in
(derivation { name = "b"; system = "x"; builder = "b"; x = builtins.appendContext "x" context; }).outPath
