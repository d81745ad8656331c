# features fetch-closure
builtins.fetchClosure { fromStore = "https://x"; other = 1; }
