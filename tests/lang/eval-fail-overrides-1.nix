let
  o = 1;
  # nothing in it has a value before somebody asks, but for what is inherited
  set = rec { __overrides = { a = z; b = 2; }; b = 1; y = 1; z = y; f = x: x; l = [ ]; s = "s"; inherit o; };
in
builtins.trace set (builtins.seq set.z (builtins.trace set (rec { __overrides = { x = x + 1; }; x = 1; }).x))
