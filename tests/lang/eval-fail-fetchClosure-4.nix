# features fetch-closure
builtins.fetchClosure { fromStore = "https://x?a=b"; fromPath = /nix/store/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy-x; }
