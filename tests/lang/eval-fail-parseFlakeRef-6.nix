builtins.parseFlakeRef "github:a/b#frag"
