# To JSON and back.
let
  value = builtins.genList (i: { name = "entry ${toString i}"; index = i; ratio = i * 1.5; nested = { list = [ i (i + 1) null true ]; }; }) 8000;
in
builtins.length (builtins.fromJSON (builtins.toJSON value))
