[
  (builtins.fromTOML "a = 1\n[b.c]\nd = [1, 2.5, true]\ne = { f = \"x\" }")
  (builtins.fromTOML "a = inf\nb = -nan\nc = 0x1F\nd = 1e3")
  (builtins.fromTOML "[[a]]\nx = 1\n[[a]]\nx = 2")
]
