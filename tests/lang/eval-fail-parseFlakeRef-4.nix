builtins.parseFlakeRef "github:a/b/c?rev=d"
