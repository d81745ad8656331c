builtins.path { path = <nix/x>; }
