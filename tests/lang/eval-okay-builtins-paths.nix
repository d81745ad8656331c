[
  (builtins.baseNameOf "a//")
  (builtins.baseNameOf "/")
  (builtins.baseNameOf /.)
  (builtins.dirOf /.)
  (builtins.dirOf "a/b/")
  (builtins.dirOf "//a")
  (builtins.toPath "/a/../b")
]
