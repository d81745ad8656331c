builtins.parseFlakeRef "git:a"
