# features fetch-closure
builtins.fetchClosure { fromStore = "file:///x"; fromPath = /nix/store/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy-x; }
