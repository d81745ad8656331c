builtins.replaceStrings ["a"] [1] "bab"
