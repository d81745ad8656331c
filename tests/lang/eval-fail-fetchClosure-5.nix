# features fetch-closure
builtins.fetchClosure { fromStore = "https://x"; fromPath = "/y"; }
