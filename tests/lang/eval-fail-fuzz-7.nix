builtins.findFile [ { path = ""; } ] "/nix/store"
