[
  (builtins.toJSON { a = 1.0; b = [ null true ]; c = { outPath = "x"; }; d = { __toString = s: "y"; }; "é" = "\n\t\\\"/"; })
  (builtins.toJSON 1.0e100)
  (builtins.toJSON 0.1)
  (builtins.toJSON (1.0 / 3))
  (builtins.toJSON 123456789.123)
  (builtins.toJSON 1.0e-7)
  (builtins.toJSON (0.0 * (-1)))
  (builtins.fromJSON "{\"a\": [1, 2.5, null, true, \"x\"], \"b\": {\"c\": {}}}")
  (builtins.fromJSON "{\"a\": 1, \"a\": 2}")
  (builtins.fromJSON "-9223372036854775809")
]
