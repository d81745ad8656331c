builtins.ceil ((x: x) (0.0 / 1.0e-320 * 0))
