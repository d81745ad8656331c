# features fetch-closure
builtins.fetchClosure { fromPath = /nix/store/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy-x; toPath = ""; inputAddressed = true; fromStore = "https://x"; }
