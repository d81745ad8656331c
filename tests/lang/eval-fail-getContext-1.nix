builtins.getContext (derivation { name = "n"; builder = "b"; system = "s"; outputs = [ "out" "dev" ]; }).dev
