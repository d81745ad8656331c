builtins.readDir <nix/x>
